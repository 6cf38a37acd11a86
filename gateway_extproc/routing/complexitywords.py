"""Words that tell what a question is about, and what it asks for.

A word counts by its first ``STEM`` letters, so that one entry stands for its forms; what is
shorter than that stands for itself.  A word may be of several kinds.  Scripts without spaces
are searched for ``SIGNS`` instead.  What a kind is worth is learned, not written here.
"""

from __future__ import annotations

from typing import Final

STEM: Final = 6

KINDS: Final[dict[str, str]] = {
    "reason": """
        prove proof deriv deduce infer conclud theref hence explain why justif argue argume premise
        imply implie assume assump hypoth counte refute suppos given evaluat compare analyz analys
        determ critiq rigor tradeo
        beweis begrün erkläre warum vergle folger démont pourqu expliq justif compar demues
        explic porque analiz dimost spieg perché confro demons justifi waarom bewijs verkla uzasad
        dlacze porówn докаж почему объясн сравни обосну neden kanıtl açıkla
    """,
    "calculate": """
        calcul comput solve total percen ratio average many much each per remain twice triple half
        thrice sum differ multip divide subtra rate discou earn spent spend sold buy bought pay paid
        left altoge dozen worth interes minute hour weekly daily
        berech wieviel prozen löse gesamt combie calcule résoud résous pourc calcula cuánto
        cuanto resuel porcen quanto risolv bereke hoeveel oblicz ile вычисл сколько решите процен
        hesapla kaç yüzde
    """,
    "maths": """
        integr theore equati polyno matrix matric vector eigen eigenv subgro field homomo isomor
        modulo prime primes intege functi deriva limit contin conver series probab distri varian
        random expect triang circle angle square root roots quadra linear algebr geomet degree
        permut factor diverg topolo abelia kernel slope cube combin induct bayes bayesi markov
        stocha gleich wahrsc ableit primza équati probab intégr ecuaci proble integr equazi
        уравне вероят интегр
    """,
    "logic": """
        propos predic quanti tautol truth symbol formal fallac syllog premise wff valid invali
        iff knight knave liar puzzle riddle constr satisf exactl implica
    """,
    "law": """
        plaint defend statut court contra tort liable liabil neglig jury judge trial eviden admiss
        hearsa murder mansla crime crimin convic prosec police arrest warran consti amendm due owner
        convey deed grantor grante lease tenant landlo proper mortga easeme breach damage suit sued
        sue jurisd legisl law attorn lawyer client testim witnes burgla robber larcen clause indemn
        vertra gericht haftun contrat tribun juridi contra ley legal
    """,
    "medicine": """
        patien diseas sympto diagno treatm clinic blood cell cells protei gene genes geneti chromo
        muscle nerve drug dose infect syndro therap hormon cancer kidney liver acute chronic
    """,
    "science": """
        force mass accele veloci energy kineti potent moment gravit electr magnet voltag curren
        resist circui wave freque wavele photon quantu thermo temper pressu entrop heat lens charge
        capaci fricti nuclea radioa molecu reacti acid buffer oxidat orbita enthal equili solven
        concen molari isotop
    """,
    "code": """
        python javasc typesc java bug code class method algori comple array sql query regex api
        stack thread async await recurs compil rust golang docker kubern debug refact implem unit
        tests binary hash program script struct def return import int void const func lambda
        null none mutex deadlo concur latenc sharde schema index cache kafka postgr redis linux bash
        pointer segfau excepti traceb
        progra codigo código funció foncti funkti код функци
    """,
    "finance": """
        tax audit accoun balanc cash deprec bond stock option portfo valuat invest inflat moneta
        fiscal supply demand elasti monopo firm margin gdp tariff revenue profit price hedge swap
    """,
    "culture": """
        religi god philos ethic moral histor war empire king centur cultur art poem novel myth
        church nation policy politi govern treaty
    """,
    "creative": """
        write story poem email letter blog post song lyrics charac dialog slogan headli tweet captio
        essay imagin pretend rolepl persona rewrit paraph style tone funny joke greeti toast rhyme
        schrei gedich geschi écris poème lettre escrib poema carta scrivi poesia напиши стих
    """,
    "simple": """
        hello hi hey thanks thank please transl summar synony spell define defini meanin capital
        recipe weathe color colour correct gramma fix typo list name convert title tagline
        hallo danke bitte überse hauptst bonjou merci tradui résume hola gracia traduc resume ciao
        grazie tradur obriga vertaa bedank dzięku przetł привет спасиб переве merhab teşekk çevir
    """,
    "negation": """
        not except never false incorr least cannot neither nor without unless nicht ohne außer sauf
        sans jamais nunca excepto senza mai niet zonder не без кроме
    """,
    "condition": """
        if whethe would could might may must should likely most best probab wenn falls si sofern
        se als jeśli если eğer
    """,
    "plan": """
        design archit plan strateg optimi trade scale system propos roadma migrat steps then first
        finally requir ensure constr budget within entwur entwer conçoi concev diseña proget ontwer
        zaproj спроек разраб tasarl
    """,
}

_SIGNS: Final[dict[str, str]] = {
    "reason": """
        证明 證明 为什么 為什麼 解释 比较 分析 推导 論證 なぜ 説明 証明 比較 증명 설명 왜 비교 분석
    """,
    "calculate": "计算 計算 多少 求解 百分 いくら いくつ 求め 계산 얼마 몇",
    "maths": "方程 概率 積分 积分 矩阵 素数 质数 確率 행렬 확률 방정식",
    "code": "代码 函数 算法 程序 コード 関数 実装 코드 함수 알고리즘",
    "creative": "写一 故事 诗 物語 手紙 이야기 편지",
    "simple": "你好 谢谢 翻译 首都 こんにちは ありがとう 翻訳 안녕 감사 번역 수도",
    "plan": "设计 方案 架构 設計 설계 계획",
}

NAMES: Final = tuple(KINDS)


def _stems() -> dict[str, tuple[int, ...]]:
    found: dict[str, set[int]] = {}
    for number, words in enumerate(KINDS.values()):
        for word in words.split():
            found.setdefault(word[:STEM], set()).add(number)
    return {stem: tuple(sorted(kinds)) for stem, kinds in found.items()}


def _signs() -> tuple[tuple[str, int], ...]:
    kinds = {sign: NAMES.index(kind) for kind, signs in _SIGNS.items() for sign in signs.split()}
    return tuple(kinds.items())


STEMS: Final = _stems()
"""The kinds of each stem, by their place in ``NAMES``."""

SIGNS: Final = _signs()
"""What to search for, and its kind."""
