# saccade in an image, for a GPU or a CPU alone; it serves a run that is mounted at /run-folder.
#
#   docker build -t saccade .
#   docker build -t saccade-cpu --build-arg TORCH_INDEX=URL .   URL: PyTorch's index of CPU wheels, which
#                                                               pytorch.org names; a sixth of the size
#   docker run --rm -p 8000:8000 -e SACCADE_TOKEN="$(openssl rand -hex 16)" \
#       -v "$PWD/runs/vqa:/run-folder:ro" saccade               (with --gpus all for the GPU)

FROM python:3.11-slim AS build
ARG TORCH_INDEX=""
WORKDIR /source
RUN python -m venv /venv
COPY constraints.txt ./
# CUDA's libraries come with PyTorch's own packages: no base image has to have them.
RUN if [ -n "$TORCH_INDEX" ]; then \
        /venv/bin/pip install --no-cache-dir -c constraints.txt --index-url "$TORCH_INDEX" torch torchvision; \
    fi
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY saccade ./saccade
RUN /venv/bin/pip install --no-cache-dir -c constraints.txt '.[serve]'

FROM python:3.11-slim
RUN useradd --create-home --uid 1000 saccade
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH \
    HF_HUB_OFFLINE=1 \
    PYTHONUNBUFFERED=1
USER saccade
WORKDIR /home/saccade
EXPOSE 8000
# All addresses of the container: so `serve` refuses to begin without the token in SACCADE_TOKEN.
ENTRYPOINT ["saccade"]
CMD ["serve", "/run-folder", "--host", "0.0.0.0", "--port", "8000"]
