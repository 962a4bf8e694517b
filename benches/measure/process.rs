//! Another process: started from this program, asked to stop by closing its input, its use of the machine read from `/proc`.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context;

/// Ticks of the kernel's accounting in a second.
const TICKS: f64 = 100.0;

pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// This program again, with other arguments.
    pub fn again(arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start(Command::new(std::env::current_exe()?).args(arguments))
    }

    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("the output of the other process")?);
        Ok(Self { child, input, output })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it writes.
    pub fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        anyhow::ensure!(self.output.read_line(&mut line)? > 0, "the other process ended; see above");
        Ok(line.trim_end().to_owned())
    }

    /// What it has computed so far, in seconds: at home and in the kernel.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        let (_, after_name) = text.rsplit_once(')').context("a line of /proc")?;
        let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        Ok(ticks.sum::<Result<f64, _>>()? / TICKS)
    }

    /// Megabytes in memory: now, and the most there were.
    pub fn memory(&self) -> anyhow::Result<(f64, f64)> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)).and_then(|rest| rest.split_whitespace().next());
            anyhow::Ok(value.context("a field of /proc")?.parse::<f64>()? / 1_024.0)
        };
        Ok((field("VmRSS:")?, field("VmHWM:")?))
    }

    /// Closes its input and waits for its end.
    pub fn stop(mut self) -> anyhow::Result<()> {
        drop(self.input.take());
        self.output.read_to_end(&mut Vec::new())?;
        anyhow::ensure!(self.child.wait()?.success(), "the other process did not end well");
        Ok(())
    }

    /// For a process that is asked by a signal.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

/// For the other side: returns when the input is closed.
pub fn until_closed() {
    let mut rest = Vec::new();
    // However it ends, nobody is there any more.
    let _ = std::io::stdin().read_to_end(&mut rest);
}
