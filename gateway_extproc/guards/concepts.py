"""Words by what they mean in an attack or in its harmless neighbours, in many languages at once.

The classifier reads the sequence of these meanings beside the words themselves: ``ignoriere
alle Anweisungen`` and ``disregard every rule`` are one sequence.  A word has one meaning, the
last that names it.  Accents and case do not matter.
"""

CONCEPTS: dict[str, str] = {
    "ignore": (
        "ignore ignores ignored ignoring disregard disregards disregarding forget forgets forgot "
        "forgetting override overrides overriding neglect discard overlook dismiss omit abandon "
        "drop cancel erase overwrite bypass bypassing circumvent skip unlearn ignoriere "
        "ignorieren vergiss vergessen missachte verwirf oublie oubliez ignorez ignora olvida "
        "olvide descarta dimentica scarta trascura esqueca desconsidere descarte игнорируй "
        "игнорируйте забудь забудьте отбрось ігноруй unut unutun yoksay تجاهل انس أهمل भूल भूलो "
        "अनदेखा अनदेखी উপেক্ষা ভুলে quen abaikan lupakan kesampingkan kalimutan balewalain 忽 忘 "
        "무시하고 무시해 잊고 잊어 zignoruj zapomnij pomin negeer vergeet zaboravi ignoriraj zanemari"  # noqa: E501
    ),
    "prior": (
        "previous prior above earlier preceding former initial original foregoing before past "
        "aforementioned beforehand previously existing old vorherigen vorherige bisherigen obigen "
        "fruheren vorangegangenen davor zuvor precedentes anterieures anteriores anterior previas "
        "precedenti precedente previos prima предыдущие прежние прошлые выше ранее попередні "
        "önceki onceki yukarıdaki yukaridaki السابقة أعلاه سابقة पिछले पहले ऊपर আগের উপরের "
        "পূর্ববর্তী truoc tren sebelumnya atas nakaraang nauna 이전 앞의 위의 지금까지 poprzednie "
        "wczesniejsze powyzsze vorige eerdere bovenstaande prethodne ranije"
    ),
    "rules": (
        "instruction instructions direction directions rule rules guideline guidelines command "
        "commands order orders directive directives constraint constraints restriction "
        "restrictions policy policies protocol protocols programming training limitation "
        "limitations anweisungen anweisung befehle instruktionen regeln auftrage vorgaben "
        "consignes regles instrucciones reglas ordenes indicaciones istruzioni regole direttive "
        "indicazioni instrucoes regras ordens diretrizes инструкции указания правила команды "
        "інструкції вказівки talimatları talimatlari kuralları kurallari emirleri yönergeleri "
        "التعليمات الأوامر القواعد تعليماتك निर्देशों निर्देश आदेशों नियमों নির্দেশাবলী নির্দেশ "
        "নিয়ম huong dan chi thi instruksi perintah aturan petunjuk instruksimu tagubilin utos "
        "panuntunan 지시 지침 명령 규칙 instrukcje polecenia zasady instructies opdrachten regels upute "  # noqa: E501
        "instrukcije"
    ),
    "prompt": (
        "prompt prompts preprompt preamble context configuration systemprompt promptu промпт "
        "promptun プロンプト 프롬프트 프롬프트를 प्रॉम्प्ट প্রম্পট موجه"
    ),
    "system": (
        "system developer admin administrator root operator creator owner superuser sistema "
        "sistem systeme système системный النظام सिस्टम সিস্টেম 시스템"
    ),
    "show": (
        "reveal reveals show print output display repeat disclose share leak expose dump recite "
        "echo reproduce list zeige verrate nenne drucke gib montre affiche revele donne muestra "
        "revela mostra rivela mostre dame dammi покажи раскрой назови göster goster açıkla اعرض "
        "اكشف दिखाओ बताओ দেখান hien tampilkan ungkapkan ipakita ibunyag 보여줘 알려줘 공개해 pokaz toon "  # noqa: E501
        "pokazi"
    ),
    "tell": (
        "tell give provide send spell sag sage dis dime dimmi diga скажи söyle أخبرني أعطني बताइए "
        "বলুন beritahu beri sabihin ibigay 말해"
    ),
    "say": (
        "say write type respond reply answer return speak produce generate says schreibe antworte "
        "ecris reponds escribe responde scrivi rispondi escreva responda напиши ответь yaz اكتب "
        "أجب लिखो लिखिए লিখুন viet tulis jawab sumulat sumagot"
    ),
    "secret": (
        "secret secrets password passwords passphrase passcode pass key keys credential "
        "credentials token code pin flag hidden confidential private passwort kennwort geheim "
        "geheime schlussel motdepasse contrasena clave secreta senha chave пароль секретный "
        "секретное şifre sifre gizli كلمة المرور السرية पासवर्ड गुप्त পাসওয়ার্ড গোপন 비밀번호 비밀 "
        "rahasia sandi lihim wachtwoord haslo lozinku"
    ),
    "you": (
        "you your yourself yours u ur youre du dein deine deinen dir ihr ihre sie tu ton tes te "
        "vos votre tus su tuo tue você voce seu suas ты твой свои вы sen sana أنت तुम तुम्हारा आप "
        "আপনি আপনার ban kamu mu ikaw mo iyo 너는 너의"
    ),
    "me": (
        "i me my mine we us our ich mir mein mich je moi mon yo mi mio eu meu я мне мой ben bana "
        "لي मुझे मैं আমি আমাকে toi saya ako ko"
    ),
    "act": (
        "act acting pretend pretending roleplay simulate simulates behave become becoming "
        "play playing persona character role emulate impersonate fungieren fungiere tun spiele "
        "verhalte agis joue finge actua interpreta comportati притворись веди davran تظاهر تصرف "
        "मान ধরুন gia berpura bertindak magpanggap umarte"
    ),
    "mode": (
        "mode modes enable enabled activate activated activating switch unlock unlocked engage "
        "modus mod"
    ),
    "unbound": (
        "unrestricted unfiltered uncensored unlimited limitless amoral unethical jailbreak "
        "jailbroken dan unhinged boundless lawless evil rogue sudo god debug unchained"
    ),
    "free": (
        "free freed freedom liberated broken without none lift lifted remove removed disable "
        "disabled bypassed ohne keine sans aucune sin ninguna senza nessuna sem nenhuma без нет"
    ),
    "morals": (
        "ethical ethics moral morals morality legal illegal safety filter filters censorship "
        "censor content boundaries limits moralische ethische"
    ),
    "harm": (
        "hack hacking bomb bombs kill murder steal drugs meth malware weapon weapons virus "
        "explosives ransomware phishing poison forge counterfeit launder stalk blackmail hitler "
        "nazi racist porn sexual"
    ),
    "only": (
        "only just simply nothing exactly solely merely nur seulement solo apenas solamente "
        "только sadece فقط केवल শুধু chi hanya lang"
    ),
    "instead": (
        "instead rather stattdessen statt lieu lugar invece вместо yerine بدلا इसके বরং thay "
        "sebagai halip 대신"
    ),
    "must": (
        "must never always should shall will cannot won't refuse refuses refusing decline obey "
        "comply complies follow listen"
    ),
    "not": (
        "not don dont do no doesn didn isn't nicht kein ne pas non nao не değil لا मत না khong "
        "jangan huwag"
    ),
    "ai": (
        "chatgpt gpt ai assistant chatbot bot llm openai claude language gemini model robot ki ia "
        "искусственный yapay"
    ),
    "encode": (
        "base64 rot13 hex morse binary reverse reversed backwards encode encoded decode cipher "
        "leetspeak ascii caesar acrostic encrypted pig latin"
    ),
    "letter": (
        "letter letters character characters word words sentence line first last second third "
        "syllable vowel"
    ),
    "story": (
        "story poem novel scene movie script fiction fictional hypothetical hypothetically "
        "grandmother grandma game dialogue"
    ),
    "task": (
        "task tasks job assignment assignments mission goal aufgabe aufgaben tarea tache tâche "
        "compito tarefa задача görev مهمة काम কাজ nhiem tugas gawain"
    ),
    "new": (
        "new updated next following real actual neue neuen nueva nouvelle nuovo nova новая yeni "
        "جديدة नया নতুন moi baru bagong 새"
    ),
    "all": (
        "all everything every any anything entire full whole complete alle alles samtliche tout "
        "toutes tous todo todas tutto tutte tudo все всё всі bütün tüm كل جميع सभी सब সব tat moi "
        "semua lahat 모든 모두"
    ),
    "now": (
        "now henceforth onwards onward stop stops wait moving jetzt nun ab maintenant ahora ora "
        "agora теперь şimdi الآن अब এখন bay sekarang ngayon 이제 지금부터"
    ),
    "done": ("done finished enough great well excellent perfect thanks gut erledigt"),
    "time": ("end begin start begins starting ends"),
    "personal": (
        "address addresses email mail emails birthday birthdate birth phone telephone residence "
        "residing located location salary balance adresse geburtsdatum telefonnummer anschrift "
        "kontostand wohnort courriel naissance telephone direccion correo nacimiento telefono "
        "indirizzo nascita endereco nascimento telefone почты почту адрес рождения телефона "
        "adresini adresi telefon doğdu eposta عنوان ميلاد الهاتف البريد पता ईमेल जन्मतिथि ठिकाना "
        "ঠিকানা ইমেল জন্ম alamat lahir telepon tirahan ipinanganak telepono 주소 생일 이메일 "
        "전화번호를"
    ),
    "lives": (
        "live lives living wohnt lebt habite vit vive mora abita живет живёт yaşıyor oturuyor يعيش "
        "يسكن रहता रहती থাকে song tinggal nakatira 살고 사나요"
    ),
    "user": (
        "user users customer customers client clients holder nutzer nutzers benutzer kunde kundin "
        "utilisateur utilisateurs usuario usuarios cliente clientes utente utenti usuário usuarios "
        "пользователь пользователя клиентов kullanıcı kullanıcının müşteri المستخدم العملاء العميل "
        "उपयोगकर्ता ग्राहक ব্যবহারকারী ব্যবহারকারীর গ্রাহক nguoi dung pengguna pelanggan 사용자 "
        "사용자의 사용자는 고객"
    ),
    "imagine": (
        "suppose assume picture assuming supposing stell angenommen imaginons supposons supposez "
        "imagina supongamos immagina supponiamo imagine suponha представь предположим varsayalım "
        "تخيل لنفترض कल्पना কল্পনা ধরো tưởng bayangkan misalkan isipin ipagpalagay 상상해봐 가정하자"
    ),
}
