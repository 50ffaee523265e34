# The worker, and every other command that needs no extra (`vigia topics`, `simulate`, `dead-letters`).
# Built from the repository's root: docker build -f deploy/docker/worker.Dockerfile .

FROM python:3.11-slim AS build
RUN python -m venv /opt/vigia
WORKDIR /src
# the packages before the code: a change of code does not fetch them again
COPY requirements-worker.lock ./
RUN /opt/vigia/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-worker.lock
COPY pyproject.toml README.md LICENSE ./
COPY features features
COPY models models
COPY stream stream
COPY deploy/__init__.py deploy/errors.py deploy/
COPY deploy/local deploy/local
RUN /opt/vigia/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps .

FROM python:3.11-slim
# LightGBM is not here, so libgomp is not needed: onnxruntime brings its own threads
RUN useradd --system --uid 10001 --create-home vigia
COPY --from=build /opt/vigia /opt/vigia
ENV PATH=/opt/vigia/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /home/vigia
EXPOSE 8000
# SIGTERM is the worker's order to finish what it holds and commit it
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["vigia", "worker"]
