"""Values and rules that the guard tests share."""

from __future__ import annotations

from typing import Any

from gateway_extproc.config.guarding import GuardRule
from gateway_extproc.core.chat import Chunk, TextAt, TextDelta
from gateway_extproc.guards.entities import ENTITIES

INJECTION = (
    r"ignore\s+(all\s+)?(previous|prior|above)\s+(instructions|rules)",
    r"disregard\s+(your|the)\s+(system\s+)?(prompt|instructions)",
    r"you\s+are\s+now\s+(dan|in\s+developer\s+mode)",
    r"reveal\s+(your|the)\s+(system|hidden)\s+prompt",
    r"pretend\s+(that\s+)?you\s+have\s+no\s+(rules|restrictions)",
    r"<\|im_start\|>",
    r"\[INST\]",
    r"do\s+anything\s+now",
)

ALL_ENTITIES = tuple(name for name in ENTITIES if name != "hidden")

OWN_KEY = f"gw_live_k3j2h1_{'aB3_-' * 8}xyz_0f1e2d3c"
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "MIIEpAIBAAKCAQEA3Tz2mr7SZiAMfQyuvBjM9Oi8e0bL3sAbC1dEfGhIjKlMnOpQ\n" * 3
    + "abc=\n-----END RSA PRIVATE KEY-----"
)

VALUES = {
    "card": (
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "5555555555554444",
        "2223003122003222",
        "3782 822463 10005",
        "30569309025904",
        "3530111333300000",
        "6011111111111117",
        "4222222222222",
    ),
    "iban": (
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "de89 3704 0044 0532 0130 00",
        "GB82WEST12345698765432",
        "NO9386011117947",
        "FR14 2004 1010 0505 0001 3M02 606",
        "MT84MALT011000012345MTLCAST001S",
    ),
    "us_ssn": ("123-45-6789", "123 45 6789", "899-99-9999"),
    "email": (
        "jane@example.org",
        "jane.doe+news@mail.example.co.uk",
        "J_D%x@a-b.io",
    ),
    "api_key": (
        "sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8xYz1bCd4f",
        "sk-ant-api03-" + "Ab3_dEf6hIj9lMn2-pQr5tUv8" * 4 + "AA",
        "AKIAQ3EGR5TZ4VRJ7M2P",
        "ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8",
        "xoxb-123456789012-abcdefABCDEF",
        OWN_KEY,
        PEM,
        "github_pat_" + "11A2B3C4D5E6F7G8H9I0_" + "aB3dE6" * 10,
        "glpat-Ab3dEf6hIj9lMn2pQr5t",
        "xoxp-41684372915-1320496754-45609968301-e708ba56e1517a99f6b5fb0734",
        "https://hooks.slack.com/services/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"[8:],
        "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
        "SG." + "ngeVfQFYQlKU0ufo8x5d1A" + "." + "TwL2iGABf9DHoTf09kqeF8tAmbihYzrnopKc1s5crAb",
        "npm_" + "aB3dE6gH9j" * 3 + "kL2mN5",
        "hf_" + "fKjBYcUvtTgxRADTanUEkiTZewHqLmNpRs",
        "dop_v1_" + "0a1b2c3d4e5f6789" * 4,
        "NRAK-" + "A1B2C3D4E5F6G7H8I9J0K1L2M3N",
        "4b8e1f7a90c3d52e6b1d8f04a7c95e32-us2",
        "shpat_" + "0123456789abcdef9876543210fedcba",
        "lin_api_" + "aB3dE6gH9j" * 4,
        "sm_pat_" + "Gh5Kd8Lm2Qr9Xt4W",
        "dnkey-" + "K7WD2RB9XN4TQ8LZ3VM6HC1GS5" + "-" + "JF0YD2AEP7UW" * 4 + "B3N8",
        "PMAK-" + "0123456789abcdef01234567-" + "0123456789abcdef0123456789abcdef01",
    ),
    "uk_nino": ("AB123456C", "AB 12 34 56 C"),
    "es_dni": ("12345678Z", "12345678-Z", "X1234567L"),
    "it_codice_fiscale": ("RSSMRA85T10A562S",),
    "fr_nir": ("255081416802538", "2 55 08 14 168 025 38"),
    "pl_pesel": ("44051401359",),
    "br_cpf": ("529.982.247-25", "52998224725"),
    "in_aadhaar": ("2341 2341 2346", "2341-2341-2346"),
    "ip": ("203.0.113.7", "2001:db8:85a3::8a2e:370:7334", "fe80:0:0:0:0:0:0:1a2b"),
    "phone": (
        "+1-212-555-0190",
        "+46 (0)8 555 123 45",
        "(212)555-0147",
        "415-555-0132x4455",
        "0471 12 34 56",
        "03.55.12.34.56",
        "(08) 5550 0123",
    ),
    "address": (
        "221 Baker Street",
        "12 North Elm Road, Apt. 5",
        "12 rue de Rivoli",
        "P.O. Box 123",
    ),
    "private_key": (PEM,),
    "jwt": (
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    ),
}
"""Values that are found wherever they stand."""

GOOGLE_KEY = "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6q"

SPOKEN_OF = {
    "api_key": (
        ("my Gemini key is ", GOOGLE_KEY),
        ("https://maps.example.org/js?key=", GOOGLE_KEY),
        ("const a = '", GOOGLE_KEY),
        ("ключ ", GOOGLE_KEY),
    ),
    "de_steuer_id": (("Steuer-ID: ", "86095742719"), ("my tax id is ", "86 095 742 719")),
    "nl_bsn": (("BSN ", "111222333"),),
    "in_aadhaar": (("Aadhaar ", "234123412346"),),
    "ca_sin": (("SIN: ", "130 692 544"), ("social insurance number ", "130692544")),
    "au_tfn": (("TFN ", "123 456 782"), ("tax file number: ", "123456782")),
    "phone": (
        ("call me at ", "555 0142"),
        ("Phone:\n", "61-22-33-44"),
        ("手机 ", "13812345678"),
        ("tel. ", "2125550178"),
    ),
    "date_of_birth": (
        ("She was born on ", "4/9/1962"),
        ("date of birth: ", "1990-05-17"),
        ("DOB ", "17 May 1990"),
        ("geboren am ", "17.5.1990"),
        ("née le ", "3 mars 1985"),
        ("born ", "March 3rd, 1985"),
    ),
    "url_password": (("postgres://app:", "s3cr3t-Pw!"), ("https://bob:", "hunter22")),
    "generic_secret": (
        ("password = ", "hunter2-Xk9"),
        ('"api_key": "', "a8f5f167f44f4964e6c998dee827110c"),
        ("Authorization: Bearer ", "0f1e2d3c4b5a69788796a5b4c3d2e1f0"),
        ("the password is ", "Tr0ub4dor&3"),
        ("export DB_PASSWORD=", "xK9#mP2$vL5n"),
    ),
}
"""Values that are found because of what stands before them."""

NOT_VALUES = {
    "card": (
        "4111111111111112",  # check digit
        "9111111111111111",  # no issuer
        "41111111111111111111",  # a longer run of digits
        "0.4111111111111111",  # a fraction
        "4111  1111  1111  1111",  # two spaces are two texts
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14",
        "1700000000000",  # milliseconds
    ),
    "iban": (
        "DE88370400440532013000",
        "XX89370400440532013000",
        "DE8937040044053201300",
        "ADE89370400440532013000",
        "DE893704004405320130001",
    ),
    "us_ssn": (
        "000-12-3456",
        "666-12-3456",
        "912-12-3456",
        "123-00-4567",
        "123-45-0000",
        "123-45 6789",
        "1123-45-6789",
        "123-45-67890",
        "123-45-6789-1",
        "123456789",
    ),
    "email": ("jane@localhost", "@example.org", "a @ b.org", "jane@example.o", "x" * 65 + "@a.org"),
    "api_key": (
        "sk-learn-model-selection-and-tuning",
        "task-0123456789abcdef0123456789",
        "AKIAQ3EGR5TZ4VRJ7M2",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_short",
        "gw_live_abc_tooshort_123",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN PRIVATE KEY-----",
        "AKIAXXXXXXXXXXXXXXXX",
        "ghp_" + "x" * 36,
        "hf_optionalConfigurationNamesWithLowEntropyLabel",
        "xoxb-your-token-here",
        "glpat-xxxxxxxxxxxxxxxxxxxx",
        GOOGLE_KEY,  # of a web page: nothing says that it is a key
    ),
    "uk_nino": ("GB123456C", "AB123456E", "ab123456c", "XAB123456C"),
    "es_dni": ("12345678A", "1234567Z", "X1234567A"),
    "it_codice_fiscale": ("RSSMRA85T10A562T", "RSSMRA85T99A562S"),
    "fr_nir": ("255081416802539", "355081416802538"),
    "de_steuer_id": ("86095742719", "12345678901"),
    "nl_bsn": ("111222333",),
    "pl_pesel": ("44051401358", "44991401359"),
    "br_cpf": ("529.982.247-26", "111.111.111-11"),
    "in_aadhaar": ("2341 2341 2347", "234123412346", "1341 2341 2346"),
    "ca_sin": ("130 692 544", "046 454 286"),
    "au_tfn": ("123 456 782",),
    "ip": (
        "version 1.2.3.4",
        "v1.2.3.4",
        "256.1.1.1",
        "1.2.3.4.5",
        "1.2.3",
        "Chrome/120.0.0.0",
        "lib==1.2.3.4",
        "12:34:56",
        "std::vector",
        "x[1::2]",
        "aa:bb:cc:dd:ee:ff",
    ),
    "phone": (
        "555 0142",
        "2024-05-17",
        "17.05.2024",
        "1234567890123456",
        "12345678",
        "0.123 456 789",
        "4111 1111 1111 1111",
        "123-45-6789",
        "203.0.113.7",
    ),
    "date_of_birth": ("4/9/1962", "17 May 1990", "born in the year 1990"),
    "address": ("3 dogs", "During 1971", "the street", "Chapter 12"),
    "jwt": ("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "eyJAAAA.eyJBBB"),
    "url_password": (
        "https://example.org:8080/",
        "https://user:password@host",
        "https://a:${PW}@b",
    ),
    "generic_secret": (
        "password: ********",
        "password = os.environ",
        "token = getToken()",
        "max_tokens: 100",
        "api_key = <your-key>",
        "secret = var.db_password",
        "password: xxxxxxxx",
        "the secret is safe with me",
        "token: example-token-1",
    ),
}

PLACEHOLDERS = {name: entity.placeholder for name, entity in ENTITIES.items() if name != "hidden"}


def rule(rule_id: str = "r", **fields: Any) -> GuardRule:
    """A rule with the fields a test cares for; by default it masks all entities of answers."""
    known: dict[str, Any] = {"direction": "both", "kind": "pii", "action": "redact"}
    known.update(fields)
    if known["kind"] in ("pii", "secret") and "entities" not in known:
        known["entities"] = ALL_ENTITIES
    return GuardRule(id=rule_id, **known)


def at(
    text: str, role: Any = "user", path: tuple[str | int, ...] = ("messages", 0, "content")
) -> TextAt:
    return TextAt(path, role, text)


def delta(text: str, slot: tuple[int | str, ...] = (0, "content"), **fields: Any) -> Chunk:
    """A chunk as a reader makes it: raw bytes, a document, one delta."""
    return Chunk(text.encode(), {"of": text}, (TextDelta(slot, text, **fields),))


def said(chunks: Any, slot: tuple[int | str, ...] | None = None) -> str:
    """All text of chunks (of one slot), joined."""
    return "".join(
        event.text
        for chunk in chunks
        for event in chunk.events
        if isinstance(event, TextDelta) and (slot is None or event.slot == slot)
    )
