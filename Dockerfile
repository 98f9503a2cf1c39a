# polydiff with images, audio and molecules, for a GPU (CUDA) or a CPU:
#
#   docker build -t polydiff .
#   docker run --rm --gpus all -v "$PWD:/work" polydiff train --domain image data.path=photos
#
# torch's own wheels contain CUDA, so the base needs none; the driver of the machine and its container toolkit are enough.
FROM python:3.11-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY polydiff polydiff
COPY backbones backbones
COPY domains domains
RUN python -m venv /opt/polydiff && /opt/polydiff/bin/pip install --no-cache-dir -c constraints.txt ".[all,tensorboard]"

FROM python:3.11-slim
# libsndfile reads audio; g++ compiles the CPU kernels and what torch.compile makes
RUN apt-get update && apt-get install -y --no-install-recommends g++ libsndfile1 && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home polydiff && mkdir /work && chown polydiff /work
COPY --from=build /opt/polydiff /opt/polydiff
ENV PATH=/opt/polydiff/bin:$PATH POLYDIFF_CACHE=/home/polydiff/.cache/polydiff
USER polydiff
WORKDIR /work
ENTRYPOINT ["polydiff"]
CMD ["doctor"]
