# A container that answers the hand-ins of one assignment: see docs/follow.md.
#
#     docker build -f docs/examples/follow.Dockerfile -t follow .        # in the folder of the course
#     docker run -d --restart unless-stopped --name follow-01 --user 990:990 \
#         --mount type=bind,src=/srv/course,dst=/course --mount type=bind,src=/srv/exchange,dst=/srv/exchange \
#         --tmpfs /tmp:exec,size=2g --memory 8g --pids-limit 2048 --network none \
#         follow 01_neural_network_basics
#     docker logs -f follow-01
#
# 990:990 is the account that owns the course's folder and its part of the exchange. Docker's usual seccomp profile
# refuses the namespaces of bubblewrap, so the wall takes rung B there, or none as this account: `docker run ... --entrypoint
# autograder follow doctor` says which. With --security-opt seccomp=unconfined --security-opt apparmor=unconfined
# --security-opt systempaths=unconfined it can take rung A, and then only the wall bounds a student's code. A runtime such
# as gVisor (--runtime runsc) or a virtual machine around it bounds both.
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends bubblewrap && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml README.md LICENSE /build/
COPY autograder /build/autograder
COPY dlcourse /build/dlcourse
RUN pip install --no-cache-dir '/build[torch,teacher]' && rm -rf /build
ENV OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1 HOME=/tmp
WORKDIR /course
ENTRYPOINT ["autograder", "follow"]
