"""Prompts that nobody trained on: thirty for a small model, thirty for a strong one."""

from __future__ import annotations

EASY = (
    "Hi, can you hear me?",
    "What is the opposite of warm?",
    "Which ocean lies between Europe and America?",
    "Say good night to my daughter Ella.",
    "How long do I cook spaghetti?",
    "What colour do you get from blue and yellow?",
    "Who was the first person on the moon?",
    "Translate 'two tickets to the centre, please' into Italian.",
    "Give me five names for a sailing boat.",
    "Write a thank-you note to the neighbours who fed our cat.",
    "Please correct: 'He go to school by bus yesterday and forgotted his lunch.'",
    "Write four lines about autumn leaves for a postcard.",
    "Name three vegetables that grow well on a balcony.",
    "What does 'procrastinate' mean?",
    "Rewrite this politely: 'Send me the file now.'",
    "Suggest a title for a story about a lost kitten.",
    "How do I greet somebody in Portuguese?",
    "What is a good present for a ten-year-old who likes dinosaurs?",
    "Summarize in one sentence: The bridge will be closed from Monday to Friday because the road "
    "is being repaired. Buses take another way, and cyclists can use the ferry for free.",
    "Is this review positive or negative? 'The soup was cold and nobody smiled, but the cake "
    "was lovely and we will come again.'",
    "Act as a friendly gardener and tell me about your roses and your favourite month.",
    "Write a short blog post about a rainy weekend in a small town by the sea, with a few tips for "
    "cafes, walks and bookshops, and a warm ending.",
    "How do I make a list in Markdown?",
    "Print the numbers one to three in Python.",
    "Describe how bees make honey so that a child understands it.",
    "Schreibe einen Geburtstagsgruß für meinen Nachbarn.",
    "Quel temps fait-il en général à Nice en mai ?",
    "Recomiéndame una receta fácil con arroz.",
    "Как сказать «спасибо» по-английски?",
    "推荐一道简单的晚餐",
)

HARD = (
    "Prove that the product of four consecutive integers is one less than a perfect square.",
    "A cistern has two inlets of 8 and 12 hours and an outlet of 10. The outlet opens after the "
    "first hour and closes when the cistern is half full; how long does filling take in total?",
    "Implement a skip list in C++ with concurrent readers, and argue why it is linearizable.",
    "Find the bug: `while (lo < hi) { mid = (lo + hi) / 2; if (a[mid] < x) lo = mid; else hi = "
    "mid; }` and state the loop invariant that the fix restores.",
    "Let f be differentiable with f(0) = 0 and |f'(x)| <= |f(x)| for all x. Show that f is zero.",
    "Nina earns twice as much per hour as Omar. After Omar works 6 hours and Nina 4, they pay 35 "
    "in tax, share a third of the rest equally and keep 49 each. What does each earn per hour?",
    "Which conditions make the maximum likelihood estimator asymptotically normal, and how does "
    "the proof break when the support depends on the parameter?",
    "Design a multi-region inventory system that never oversells, survives a network partition and "
    "answers in 50 ms; compare two consistency models and their failure modes.",
    "Exactly one of the three boxes holds the ring. The first says 'not in me', the second 'in "
    "the third', the third 'the second lies'. If at most one speaks the truth, where is the ring?",
    "Compute the eigenvalues of the n x n matrix with 2 on the diagonal and -1 beside it, and "
    "derive a bound for its condition number.",
    "A tenant sublets without the landlord's consent, the subtenant is injured by a defect that "
    "the tenant had reported, and the lease forbids subletting. Analyze the liability of all.",
    "Rewrite this recursive query so that it terminates on cyclic graphs and uses the index: WITH "
    "RECURSIVE t AS (SELECT a, b FROM edges UNION ALL SELECT e.a, e.b FROM edges e JOIN t ON "
    "e.a = t.b) SELECT count(*) FROM t;",
    "How many 5-card hands hold exactly two suits? Explain each step of the count.",
    "A projectile is fired up an incline of 20 degrees at 45 degrees to the horizontal with 30 "
    "m/s. Where does it land, and which angle would maximize the range along the incline?",
    "Give an algorithm that finds the maximum weight independent set of a tree online, with a "
    "proof of its complexity.",
    "Two firms with costs c1 < c2 set prices simultaneously. Characterize all equilibria when "
    "demand is linear and capacity limited, and explain why pure ones may fail to exist.",
    "Suppose every even number above 2 were the sum of two primes. What would follow for the sum "
    "of three primes, and is the converse valid?",
    "Write a Rust macro that derives a state machine with compile-time checked transitions.",
    "Our Postgres replica lags only during vacuum, but the WAL rate is flat and the disk idle. "
    "Form three hypotheses, and say which measurement would separate them.",
    "Solve the recurrence T(n) = 3 T(n/4) + n log n and verify the result by induction.",
    "Given daily prices, at most k trades and a fee per trade, compute the highest profit in O(nk) "
    "and justify why the greedy choice fails.",
    "A bond pays 4 per cent twice a year for 6 years and is priced at 97. Calculate its yield, "
    "duration and the change of its price if rates rise by half a per cent.",
    "Is the following argument valid? No artists are tidy; some tidy people are late; hence some "
    "late people are not artists. Translate it into predicate logic and give a derivation.",
    "Explain why the expected number of draws until all n coupons are seen is n times a harmonic "
    "number, and calculate the variance.",
    "Determine the equilibrium concentrations when 0.3 mol of A and 0.2 mol of B react to 2 C with "
    "K = 12 in two litres, and evaluate how they change with pressure.",
    "Compare optimistic and pessimistic locking for a ledger with hot accounts, derive the abort "
    "rate as a function of contention, and propose a hybrid.",
    "Zeige, dass jede monotone beschränkte Folge konvergiert, und erkläre, warum das in den "
    "rationalen Zahlen falsch ist.",
    "Calcule la probabilité que trois cordes tirées au hasard dans un cercle se coupent deux à "
    "deux, et justifie chaque étape.",
    "Реализуй алгоритм поиска мостов в графе и докажи его сложность.",
    "设计一个支持区间更新的数据结构，分析复杂度并证明其正确性",
)
