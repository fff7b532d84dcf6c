"""A JupyterHub for one course with nbgrader, on one machine. docs/jupyterhub.md says how to make accounts and folders.

tests/test_hub.py starts this file as it is, with other names in the next five lines and with free ports.
"""

import sys
from pathlib import Path

COURSE = "deep_learning"  # CourseDirectory.course_id; the formgrader is at /services/deep_learning/formgrader
TOKEN = Path("/etc/jupyterhub/formgrader.env")  # mode 0600; formgrader.service has the same
GRADERS = {"kim", "lee"}  # they share one formgrader, one gradebook
STUDENTS = {"ada", "bob"}  # with a home of mode 0700 each
SETTINGS = "/etc/jupyterhub/students"  # of their servers: where the exchange is, and that they have no formgrader

SCRIPTS = Path(sys.prefix, "bin")

c = get_config()  # noqa: F821 (JupyterHub provides it)
c.JupyterHub.bind_url = "http://127.0.0.1:8000"  # put a web server with a certificate in front of it

# Everybody logs in with the password of a local account, and gets a server of that account.
c.JupyterHub.authenticator_class = "pam"
c.PAMAuthenticator.open_sessions = False
c.Authenticator.allowed_users = GRADERS | STUDENTS
c.Spawner.cmd = [str(SCRIPTS / "jupyterhub-singleuser")]
c.Spawner.environment = {"OMP_NUM_THREADS": "1", "JUPYTER_CONFIG_PATH": SETTINGS}
c.Spawner.default_url = "/lab"

# The formgrader is a service (formgrader.service): one server of an account that nobody logs in with, for all graders.
c.JupyterHub.load_groups = {f"formgrade-{COURSE}": {"users": sorted(GRADERS)}}
c.JupyterHub.load_roles = [
    {
        "name": "graders",
        "groups": [f"formgrade-{COURSE}"],
        "scopes": [f"access:services!service={COURSE}"],
    },
]
c.JupyterHub.services = [
    {
        "name": COURSE,
        "url": "http://127.0.0.1:9999",
        "oauth_no_confirm": True,
        "api_token": TOKEN.read_text().strip().partition("=")[2],
    },
]
