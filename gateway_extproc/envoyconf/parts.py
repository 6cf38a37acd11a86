"""What all parts of an Envoy configuration are made of."""

from __future__ import annotations

from typing import Any

from gateway_extproc.config.model import Listen

Json = dict[str, Any]

TYPE = "type.googleapis.com/envoy."


HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def address(listen: Listen) -> Json:
    """Envoy's form of an address."""
    return {"socket_address": {"address": listen.address, "port_value": listen.port}}


def seconds(value: float) -> str:
    """Envoy's durations know no exponent."""
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"


def named(name: str, typed_config: Json) -> Json:
    """A filter or another extension: Envoy wants a name beside its configuration."""
    return {"name": name, "typed_config": typed_config}


def upstream_tls(context: Json, sni: str, ca_file: str, san: Json) -> Json:
    """A TLS transport socket; ``context`` is added to what both kinds of peers share."""
    return named(
        "envoy.transport_sockets.tls",
        {
            "@type": TYPE + "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": sni,
            "common_tls_context": {
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                **context,
                "validation_context": {
                    "trusted_ca": {"filename": ca_file},
                    # Without a name to match, any certificate of any authority would do.
                    "match_typed_subject_alt_names": [san],
                },
            },
        },
    )
