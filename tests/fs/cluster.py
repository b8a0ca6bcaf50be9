"""cluster: three nodes and some mounts of them, for one run of the differential tester; ended by their ids."""

import os
import shutil
import signal
import subprocess
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("RINGFS_BUILD", os.path.join(TOP, "build"))
START_SECONDS = 30
WORKER_LIFE_SECONDS = 0.4  # a supervisor gives up on workers that all die younger


class Cluster:
    """Nodes 1..3 in a fresh directory, and mounts of them at self.mounts."""

    def __init__(self, n_mounts, options=""):
        self.base = tempfile.mkdtemp(prefix="rfs.", dir=os.environ.get("TMPDIR", "/tmp"))
        self.members = ["%d=ipc://%s/s%d" % (i, self.base, i) for i in (1, 2, 3)]
        self.nodes = {}
        self.mounts = []
        try:
            for i in (1, 2, 3):
                self.launch_node(i)
            for i in (1, 2, 3):
                self.wait_node(i)
            for i in range(n_mounts):
                self.mount(os.path.join(self.base, "mnt%d" % i), options)
        except BaseException:
            self.stop()
            raise

    def address(self):
        return ",".join(m.split("=", 1)[1] for m in self.members)

    def path(self, name):
        return os.path.join(self.base, name)

    def launch_node(self, i):
        command = [os.path.join(BUILD, "node", "ringnode"), "--id", str(i), "--data", self.path("n%d" % i)]
        command += ["--log-file", self.path("n%d.log" % i), "--pid-file", self.path("n%d.pid" % i)]
        for member in self.members:
            command += ["--member", member]
        with open(self.path("n%d.out" % i), "wb") as out, open(self.path("n%d.err" % i), "ab") as err:
            self.nodes[i] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    def wait_node(self, i):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.nodes[i].poll() is None:
            with open(self.path("n%d.out" % i)) as out:
                if "serving" in out.read():
                    return
            time.sleep(0.02)
        raise RuntimeError("node %d does not serve; see %s" % (i, self.path("n%d.log" % i)))

    def kill_node(self, i):
        self.nodes[i].kill()
        self.nodes[i].wait()

    def start_node(self, i):
        self.launch_node(i)
        self.wait_node(i)

    def mount(self, where, options):
        os.makedirs(where)
        log = "log_file=%s" % self.path("mount.log")
        command = [os.path.join(BUILD, "fs", "ringfs"), self.address(), where, "-o", log]
        subprocess.run(command + (["-o", options] if options else []), check=True)
        self.mounts.append(where)

    def mount_pids(self, where):
        """The processes of a mount: [supervisor..., worker...] by name ("ringfs", "ringfs-worker")."""
        found = []
        for pid in (int(p) for p in os.listdir("/proc") if p.isdigit()):
            try:
                with open("/proc/%d/comm" % pid) as comm, open("/proc/%d/cmdline" % pid, "rb") as line:
                    name = comm.read().strip()
                    if name in ("ringfs", "ringfs-worker") and where.encode() in line.read().split(b"\0"):
                        found.append((name, pid))
            except OSError:
                pass
        return [pid for _name, pid in sorted(found)]

    def kill_worker(self, where):
        """kill -9 of the process that serves; its supervisor starts another."""
        end = time.monotonic() + START_SECONDS
        while len(self.mount_pids(where)) < 2:
            if time.monotonic() > end:
                raise RuntimeError("%s is served by no worker beside its supervisor" % where)
            time.sleep(0.02)
        time.sleep(WORKER_LIFE_SECONDS)
        os.kill(self.mount_pids(where)[-1], signal.SIGKILL)

    def stop(self):
        for where in self.mounts:
            pids = self.mount_pids(where)
            subprocess.run(["umount", where], check=False, stderr=subprocess.DEVNULL)
            end = time.monotonic() + 15
            while any(os.path.exists("/proc/%d" % p) for p in pids) and time.monotonic() < end:
                time.sleep(0.02)
            if any(os.path.exists("/proc/%d" % p) for p in pids):
                subprocess.run(["umount", "-l", where], check=False, stderr=subprocess.DEVNULL)
                for pid in pids:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except OSError:
                        pass
        for node in self.nodes.values():
            node.kill()
            node.wait()
        shutil.rmtree(self.base, ignore_errors=True)
