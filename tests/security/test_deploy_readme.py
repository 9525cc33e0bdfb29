"""What `deploy/nats/README.md` shows is run, word for word, with the commands from where it says."""

import asyncio
import os
import re
import signal
import subprocess
import textwrap
from pathlib import Path

from harness.child_process import scrubbed_environment
from harness.waits import eventually, free_port
from security.closed_bus import NATS, ONE_TEAM

ROOT = NATS.parents[1]


async def test_the_commands_deploy_a_closed_stack(tmp_path: Path) -> None:
    """The blocks, one after the other in one shell, end with a search that finds its event and a healthy indexer."""
    text = (NATS / "README.md").read_text(encoding="utf-8")
    setup, init, use, later = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    [python] = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    port = free_port()
    plan = tmp_path / "plan.toml"
    plan.write_text(ONE_TEAM.read_text(encoding="utf-8").replace("port = 4222", f"port = {port}"))
    environment = scrubbed_environment({"DIR": str(tmp_path / "keys"), "PLAN": str(plan)})
    program = tmp_path / "program.py"
    body = textwrap.indent(python.replace(":4222", f":{port}"), "    ")
    program.write_text(f"import asyncio, os\nDIR = os.environ['DIR']\nasync def main():\n{body}\nasyncio.run(main())\n")
    # What a person does between two blocks: wait until the thing that was started is there.
    until = "for _ in $(seq 600); do {} >/dev/null 2>&1 && break; sleep 0.1; done"
    server_is_up = until.format('( . "$DIR/PRECEDENT/operator.env"; : < "/dev/tcp/127.0.0.1/${NATS_URL##*:}" )')
    indexed = until.format('( . "$DIR/PRECEDENT/indexer.env"; precedent-indexer health )')
    adapters = f"services/backend-adapter/.venv/bin/python {program}"
    script = f"set -e\n{setup}\n{server_is_up}\n{init}\n{indexed}\n{use}\n{adapters}\n{later}"
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-c", script),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    said = b""
    try:

        async def ended() -> None:
            assert shell.returncode is not None

        assert shell.stdout is not None
        reading = asyncio.create_task(shell.stdout.read())
        await eventually(ended, timeout=110)
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        said = await reading
    assert shell.returncode == 0, said.decode()
    assert "5000 failed logins for admin" in said.decode()
    assert "deleted 1 of incidents" in said.decode()
    assert "\nhealthy:" in said.decode()
    assert "Reloaded server configuration" in said.decode()
