# A demonstration backend: the adapter beside cosmpy and uagents, and no vector store. The root of the repository is
# the context.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/backend
WORKDIR /src
# The very environment in which the tests run a backend with its agent libraries.
COPY tests/compat/requirements.lock .
RUN pip --python /opt/backend/bin/python install --require-hashes --no-deps -r requirements.lock
COPY schemas schemas
COPY services/backend-adapter services/backend-adapter
RUN pip --python /opt/backend/bin/python install --no-deps --no-build-isolation ./schemas ./services/backend-adapter
COPY deploy/docker/check_backend.py .
RUN /opt/backend/bin/python -I check_backend.py

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10002 backend \
 && useradd --uid 10002 --gid backend --home-dir /tmp --no-create-home --shell /usr/sbin/nologin backend
COPY --from=build /opt/backend /opt/backend
COPY deploy/demo/backend.py deploy/demo/*.jsonl deploy/demo/questions.json /opt/demo/
ENV PATH=/opt/backend/bin:$PATH PYTHONUNBUFFERED=1
USER 10002:10002
ENTRYPOINT ["python", "/opt/demo/backend.py"]
