"""How providers write their keys: prefix, alphabet and length, from their public documents.

A key of a form begins with the prefix where no letter or digit stands before it, goes on with
characters of its alphabet, and ends where no letter or digit follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway_extproc.guards.shapes import Shape

ALNUM = "A-Za-z0-9"
WORD = r"A-Za-z0-9_\-"
HEX = "0-9a-f"
UPPER = "A-Z0-9"
BASE64 = "A-Za-z0-9+/"
LONG = 512
"""A longer body is taken up to here; more comes only with tokens that carry claims."""


@dataclass(frozen=True, slots=True)
class KeyForm:
    """``body`` refines what follows the prefix where the alphabet does not say it all.

    ``before`` is the public part of some keys, which stands before the prefix and stays.
    ``entropy`` is false where the form alone is proof.  ``named`` is true for keys that also
    stand openly in web pages: they count where something names them or they are set to a name.
    """

    issuer: str
    prefix: str
    chars: str
    least: int
    most: int
    body: str = ""
    before: str = ""
    entropy: bool = True
    named: bool = False


def _forms(issuer: str, prefixes: str, chars: str, least: int, most: int = 0) -> list[KeyForm]:
    return [KeyForm(issuer, p, chars, least, most or least) for p in prefixes.split()]


_SIMPLE = (
    ("adafruit", "aio_", ALNUM, 28, 28),
    ("adobe", "p8e-", "a-z0-9", 32, 32),
    ("alibaba", "LTAI", ALNUM, 17, 26),
    ("artifactory", "AKCp", ALNUM, 66, 73),
    ("artifactory", "cmVmdGtuO", ALNUM, 55, 59),
    ("atlassian", "ATATT3 ATCTT3", WORD + "=", 100, LONG),
    ("aws", "AKIA ASIA ABIA ACCA", UPPER, 16, 16),
    ("aws", "A3T", UPPER, 17, 17),
    ("aws", "ABSK", BASE64 + "=", 100, 300),
    ("aws", "bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t", BASE64 + "=_-", 0, LONG),
    ("bitbucket", "ATBB", ALNUM, 32, 32),
    ("buildkite", "bkua_ bkat_", ALNUM, 40, 40),
    ("cerebras", "csk-", ALNUM, 40, 64),
    ("circleci", "CCIPAT_ CCIPRJ_", ALNUM + "_", 40, 100),
    ("clickhouse", "4b1d", ALNUM, 38, 38),
    ("clojars", "CLOJARS_", HEX, 60, 60),
    ("cloudflare", "v1.0-", HEX + "-", 150, 180),
    ("cloudflare", "cfut_ cfat_ cfk_", ALNUM + "_", 40, 60),
    ("contentful", "CFPAT-", WORD, 43, 43),
    ("databricks", "dapi", HEX, 32, 32),
    ("digitalocean", "dop_v1_ doo_v1_ dor_v1_", HEX, 64, 64),
    ("docker", "dckr_pat_ dckr_oat_", WORD, 27, 40),
    ("doppler", "dp.pt. dp.ct. dp.st. dp.sa. dp.scim. dp.audit.", ALNUM + "._-", 40, 60),
    ("dropbox", "sl.", WORD, 120, LONG),
    ("duffel", "duffel_live_ duffel_test_", WORD + "=", 43, 43),
    ("easypost", "EZAK EZTK", ALNUM, 54, 54),
    ("facebook", "EAAM EAAC EAAG EAAB EAAE EAAD EAAF EAAH EAAI EAAJ EAAK EAAL", ALNUM, 96, LONG),
    ("figma", "figd_", WORD, 40, 46),
    ("flutterwave", "FLWSECK_TEST- FLWPUBK_TEST- FLWSECK-", ALNUM + "-", 32, 48),
    ("flyio", "fo1_", WORD, 43, 43),
    ("flyio", "fm1a_ fm1r_ fm2_", BASE64 + "=", 100, LONG),
    ("frameio", "fio-u-", WORD + "=", 64, 64),
    ("github", "ghp_ gho_ ghu_ ghs_ ghr_", ALNUM, 36, 255),
    ("github", "github_pat_", ALNUM + "_", 36, 255),
    ("gitlab", "glpat- gldt- glft- glcbt- glrt- glsoat- glrtr- glwt-", WORD, 20, 50),
    ("gitlab", "glptt-", WORD, 40, 40),
    ("gitlab", "glffct-", WORD, 20, 20),
    ("gitlab", "glimt-", WORD, 25, 25),
    ("gitlab", "gloas-", WORD, 64, 64),
    ("gitlab", "glagent-", WORD, 50, LONG),
    ("gitlab", "GR1348941", WORD, 20, 50),
    ("defined", "dnkey-", WORD + "=", 79, 79),
    ("gocardless", "live_", WORD + "=", 40, 40),
    ("google", "GOCSPX-", WORD, 28, 28),
    ("google", "ya29.", WORD, 40, LONG),
    ("grafana", "glc_ eyJrIjoi", BASE64 + "=", 32, 400),
    ("groq", "gsk_", ALNUM, 40, 64),
    ("harness", "pat. sat.", ALNUM + ".", 60, 80),
    ("heroku", "HRKU-", WORD, 36, 64),
    ("huggingface", "hf_", ALNUM, 34, 37),
    ("huggingface", "api_org_", ALNUM, 34, 34),
    ("infracost", "ico-", ALNUM, 32, 32),
    ("intra42", "s-s4t2ud- s-s4t2af-", HEX, 64, 64),
    ("langchain", "lsv2_pt_ lsv2_sk_", ALNUM + "_", 40, 60),
    ("linear", "lin_api_ lin_oauth_", ALNUM, 40, 64),
    ("lob", "live_ test_", HEX, 35, 35),
    ("mailgun", "key- pubkey-", HEX, 32, 32),
    ("mapbox", "sk.eyJ pk.eyJ", WORD + ".", 50, 200),
    ("netlify", "nfp_", ALNUM, 36, 40),
    ("newrelic", "NRAK-", UPPER, 27, 27),
    ("newrelic", "NRJS-", HEX, 19, 19),
    ("newrelic", "NRII- NRRA- NRSP-", WORD, 27, 42),
    ("npm", "npm_", ALNUM, 36, 36),
    ("nuget", "oy2", "a-z0-9", 43, 43),
    ("nvidia", "nvapi-", WORD, 60, 80),
    ("octopus", "API-", UPPER, 26, 32),
    ("onepassword", "ops_eyJ", BASE64 + "=", 200, 2000),
    ("openai", "sk-proj- sk-svcacct- sk-admin- sk-None-", WORD, 20, LONG),
    ("openrouter", "sk-or-v1-", HEX, 64, 64),
    ("openshift", "sha256~", WORD, 43, 43),
    ("perplexity", "pplx-", ALNUM, 40, 64),
    ("planetscale", "pscale_tkn_ pscale_pw_ pscale_oauth_", WORD + "=.", 32, 64),
    ("postman", "PMAK-", HEX + "-", 59, 59),
    ("prefect", "pnu_ pnb_", ALNUM, 36, 36),
    ("pulumi", "pul-", HEX, 40, 40),
    ("pypi", "pypi-AgEIcHlwaS5vcmc pypi-AgENdGVzdC5weXBpLm9yZw", WORD, 85, 1000),
    ("readme", "rdme_", "a-z0-9", 70, 70),
    ("replicate", "r8_", ALNUM, 37, 40),
    ("rubygems", "rubygems_", HEX, 48, 48),
    ("scalingo", "tk-us-", WORD, 48, 48),
    ("sendinblue", "xkeysib- xsmtpsib-", HEX + "-", 64, 90),
    ("sentry", "sntryu_", HEX, 64, 64),
    ("sentry", "sntrys_eyJ", BASE64 + "=_", 80, 800),
    ("settlemint", "sm_pat_ sm_aat_ sm_sat_", ALNUM, 16, 16),
    ("shippo", "shippo_live_ shippo_test_", HEX, 40, 40),
    ("shopify", "shpat_ shpca_ shppa_ shpss_", "0-9a-fA-F", 32, 32),
    ("sonar", "sqp_ squ_ sqa_", HEX, 40, 40),
    ("sourcegraph", "slk_", HEX, 64, 64),
    ("square", "sq0atp- sq0csp- sq0idp-", WORD, 22, 60),
    ("square", "EAAA", WORD, 60, 64),
    ("stripe", "sk_live_ sk_test_ sk_prod_ rk_live_ rk_test_ rk_prod_", ALNUM, 10, 255),
    ("stripe", "whsec_", BASE64 + "=", 32, 64),
    ("supabase", "sbp_ sb_secret_", ALNUM + "_", 31, 64),
    ("tailscale", "tskey-api- tskey-auth- tskey-client-", ALNUM + "-", 20, 80),
    ("twilio", "SK AC", HEX, 32, 32),
    ("twitter", "AAAAAAAAAAAAAAAAAAAAAA", ALNUM + "%", 80, 120),
    ("typeform", "tfp_", WORD + ".=", 59, 59),
    ("vault", "hvs. hvr.", WORD, 24, 400),
    ("vault", "hvb.", WORD, 100, 400),
    ("xai", "xai-", ALNUM, 60, 100),
    ("yandex", "AQVN", WORD, 35, 38),
    ("yandex", "t1.", ALNUM + "_.=-", 100, 400),
    ("zapier", "hooks.zapier.com/hooks/catch/", ALNUM + "/", 12, 60),
)

_SLACK = "[0-9]{8,14}-(?=[0-9-]*[A-Za-z])[A-Za-z0-9-]{10,255}"
_SHAPED = (
    KeyForm(
        "1password", "A3-", UPPER, 6, 64, "[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})"
        "-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}",
    ),
    KeyForm("age", "AGE-SECRET-KEY-1", UPPER, 58, 58, entropy=False),
    KeyForm("airtable", "pat", ALNUM, 14, 80, rf"[{ALNUM}]{{14}}\.[0-9a-f]{{64}}"),
    *(
        KeyForm("anthropic", f"sk-ant-{kind}", WORD, 30, 160, r"[0-9]{2}-[\w-]{78,140}AA")
        for kind in ("api", "admin", "oat", "ort", "sid")
    ),
    *(
        KeyForm("authress", prefix, ALNUM, 5, 190,
                r"[A-Za-z0-9]{5,30}\.[A-Za-z0-9]{4,6}\.acc[_-][A-Za-z0-9-]{10,32}"
                r"\.[A-Za-z0-9+/_=-]{30,110}")
        for prefix in ("sc_", "ext_", "scauth_", "authress_")
    ),
    *(
        KeyForm("azure", f"{name}=", BASE64, 40, 90, f"[{BASE64}]{{40,88}}={{0,2}}")
        for name in ("AccountKey", "SharedAccessKey", "SharedSecret")
    ),
    KeyForm("azure", "sig=", ALNUM + "%", 40, 90, "[A-Za-z0-9%]{40,80}%3[dD]"),
    KeyForm("azure", "Q~", WORD + ".~", 31, 34, before="[A-Za-z0-9_~.-]{3}[0-9]"),
    *(
        KeyForm("discord", first + second, WORD, 20, 90,
                r"[AEIMQUYcgk][\w-]{20,26}\.[\w-]{6}\.[\w-]{27,40}")
        for first in "MNO" for second in "DTjz"
    ),
    *(
        KeyForm("discord", f"{host}/api/webhooks/", "0-9", 16, 110, r"[0-9]{16,20}/[\w-]{60,80}")
        for host in ("discord.com", "discordapp.com")
    ),
    KeyForm("dynatrace", "dt0c01.", ALNUM, 24, 100, r"[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    KeyForm("gateway", "gw_", "A-Za-z0-9_", 3, 130,
            r"[a-z0-9]{1,16}_[A-Za-z0-9]{1,40}_[A-Za-z0-9_-]{43}_[A-Za-z0-9]{4,16}", entropy=False),
    KeyForm("gitlab", "glpat-", WORD, 27, 330, r"[\w-]{27,300}\.[0-9a-z]{2}\.?[0-9a-z]{7}"),
    KeyForm("facebook", "|", WORD, 27, 27, before="[0-9]{13,17}"),
    KeyForm("google", "AIza", WORD, 35, 35, named=True),
    KeyForm("google", "1//0", WORD, 40, 200),
    KeyForm("grafana", "glsa_", ALNUM, 32, 41, "[A-Za-z0-9]{32}_[0-9A-Fa-f]{8}"),
    KeyForm("notion", "ntn_", "0-9", 11, 46, "[0-9]{11}[A-Za-z0-9]{32}(?:[A-Za-z0-9]{3})?"),
    KeyForm("notion", "secret_", ALNUM, 43, 43),
    KeyForm("openai", "sk-", ALNUM, 12, LONG, "[A-Za-z0-9]{12}[A-Za-z0-9_-]{8,244}"),
    KeyForm("plaid", "access-sandbox-", HEX, 8, 36, "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    KeyForm("plaid", "access-production-", HEX, 8, 36,
            "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    KeyForm("sendgrid", "SG.", WORD, 16, 100, r"[\w-]{16,32}\.[\w-]{16,64}"),
    *(KeyForm("slack", f"xox{kind}-", "0-9", 8, 270, _SLACK) for kind in "abdeoprs"),
    *(KeyForm("slack", f"{p}xox{k}-", "0-9", 1, 270, "[0-9]-[A-Za-z0-9]{60,255}")
      for p, k in (("", "e"), ("xoxe.", "p"), ("xoxe.", "b"))),
    KeyForm("slack", "xapp-", "0-9", 1, 270, "[0-9]-[A-Z0-9]{8,14}-[0-9]{8,16}-[A-Za-z0-9]{30,120}"),  # noqa: E501
    *(
        KeyForm("slack", f"hooks.slack.com/{kind}/", ALNUM, 8, 200,
                "[A-Z0-9]{8,14}/[A-Z0-9]{8,14}/(?:[0-9]{12,20}/)?[A-Za-z0-9]{20,32}")
        for kind in ("services", "workflows", "triggers")
    ),
    KeyForm("sourcegraph", "sgp_", "0-9a-fA-F", 16, 64, "(?:[0-9a-fA-F]{16}_)?[0-9a-fA-F]{40}"),
    KeyForm("sourcegraph", "sgp_local_", "0-9a-fA-F", 40, 40),
    KeyForm("teams", "webhook.office.com/webhookb2/", WORD, 30, 200, r"[\w@/-]{80,200}"),
    KeyForm("telegram", ":AA", WORD, 32, 34, before="[0-9]{8,10}"),
    KeyForm("terraform", ".atlasv1.", WORD, 60, 70, before="[A-Za-z0-9]{14}"),
)  # fmt: skip

KEY_FORMS: Final[tuple[KeyForm, ...]] = (
    *(form for row in _SIMPLE for form in _forms(*row)),
    *_SHAPED,
)

HEX_KEYS: Final = {
    # Mailchimp, Mailgun, New Relic: what tells them apart comes last.
    "-us": Shape("[0-9a-f]{32}[-]us[0-9][0-9]?"),
    "-": Shape("[0-9a-f]{32}[-][0-9a-f]{8}[-][0-9a-f]{8}"),
    "NRAL": Shape("[0-9a-f]{36}NRAL"),
}
