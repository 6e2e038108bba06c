# The server; an application is laid on top of it, in /app: docs/deploy.md.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY container ./container
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .
ARG EXTRAS=encoders,redis
RUN python -m venv /opt/container && \
    /opt/container/bin/pip install --no-cache-dir "$(echo /wheels/*.whl)[${EXTRAS}]"

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="container" \
      org.opencontainers.image.description="WSGI, ASGI, files, CGI in one resource tree, one process" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/container /opt/container
ENV PATH=/opt/container/bin:$PATH \
    PORT=8080 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
# A number, so that Kubernetes sees that it is not root. Any other will do as well: nothing is written.
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["python", "-c", "import http.client, os, sys; connection = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=2); connection.request('GET', '/healthz'); sys.exit(connection.getresponse().status != 200)"]
# PORT means every interface.
ENTRYPOINT ["container", "--health"]
