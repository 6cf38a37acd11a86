# The external processor alone; Envoy runs from its own image (k8s/base/deployment.yaml).

# One base for both stages: the virtual environment holds the path of its interpreter.
FROM python:3.12.12-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# The build backend comes by hash too.  `pip install .` alone would fetch today's newest one,
# unchecked, into its isolated build; and it stays in a place of its own, out of the image.
RUN python -m venv /opt/backend \
    && printf 'setuptools==84.2.1 --hash=sha256:ca140b45d5325a9478f880e351484f62fef15f336462e449ca0c03c873d589c2\n' \
        > /opt/backend.lock \
    && /opt/backend/bin/pip install --require-hashes -r /opt/backend.lock

# Before the sources, so that a change of code does not fetch the dependencies again.  Wheels
# only: nothing is compiled, and no package runs code of its own while it is installed.
COPY requirements.lock /src/
RUN python -m venv /opt/gateway \
    && /opt/gateway/bin/pip install --require-hashes --only-binary :all: -r /src/requirements.lock

COPY pyproject.toml README.md LICENSE /src/
COPY gateway_extproc /src/gateway_extproc
RUN /opt/backend/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /opt/wheel /src \
    && /opt/gateway/bin/pip install --no-deps /opt/wheel/*.whl \
    && /opt/gateway/bin/pip check

FROM python:3.12.12-slim-bookworm
COPY --from=build /opt/gateway /opt/gateway
# Bytecode was written at the build; the root filesystem is read-only in the cluster.
ENV PATH=/opt/gateway/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number, because the kubelet cannot tell whether a name is root (runAsNonRoot).
USER 65532:65532
EXPOSE 10080
ENTRYPOINT ["gateway-extproc"]
CMD ["serve", "--config", "/etc/gateway/gateway.yaml"]
