//! The demo: an orchestrator of its own, three replicas behind nginx, and a request to each of
//! them. Afterwards nothing of it is left, whether it ends well, badly, or by Ctrl-C.

mod http;
mod interrupt;

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::engine::Engine;
use crate::{images, run};
use interrupt::Interrupt;

const INSTANCE: &str = "demo";
const HOST: &str = "whoami.local";
const MANIFEST: &str = "examples/whoami/app.yaml";
const REPLICAS: usize = 3;
/// How long the orchestrator may take until it answers, and nginx until each replica has answered.
const LIMIT: Duration = Duration::from_secs(60);
/// How long an orchestrator that was asked to end may take.
const END_LIMIT: Duration = Duration::from_secs(20);

/// The chore. With `keep` the orchestrator and its replicas go on.
pub(crate) fn demo(keep: bool) -> Result<()> {
    let interrupt = Interrupt::watch()?;
    let engine = Engine::find()?;
    let left = owned(engine)?;
    ensure!(
        left.is_empty(),
        "an instance called {INSTANCE} is there already: {}; end it first, or remove what is left",
        left.join(", ")
    );
    let images = images::ensure(engine)?;
    println!("building the program");
    run::show(&mut run::cargo([
        "build",
        "--release",
        "--package",
        "dubernetes-cli",
        "--bin",
        "dubernetes",
    ]))?;
    interrupt.check()?;

    let mut demo = Demo::new(engine, images.ingress, interrupt)?;
    let shown = demo.start().and_then(|()| demo.show());
    if let (Ok(()), true) = (&shown, keep) {
        demo.explain();
        return Ok(());
    }
    if let Err(error) = &shown {
        eprintln!("the demo failed: {error:#}");
        // Who has interrupted it knows why it ended.
        if demo.interrupt.check().is_ok() {
            demo.print_log();
        }
    }
    let removed = demo.remove();
    shown.and(removed)
}

/// The containers and networks of the instance, by name.
fn owned(engine: Engine) -> Result<Vec<String>> {
    let filter = format!("label=dubernetes.instance={INSTANCE}");
    let containers = ["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"];
    let networks = ["network", "ls", "--filter", &filter, "--format", "{{.Name}}"];
    let mut names = run::read(&mut engine.command(containers))?;
    names.push_str(&run::read(&mut engine.command(networks))?);
    Ok(names.lines().map(str::to_owned).collect())
}

/// A demo under way.
struct Demo {
    engine: Engine,
    interrupt: Interrupt,
    program: PathBuf,
    folder: PathBuf,
    ingress: String,
    port: u16,
    serve: Option<Child>,
}

impl Demo {
    fn new(engine: Engine, ingress: String, interrupt: Interrupt) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("dubernetes-demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        // Free now, and taken by nobody within the next second or two, most probably.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let target = run::target_folder()?;
        let program = target.join("release").join("dubernetes");
        Ok(Self { engine, interrupt, program, folder, ingress, port, serve: None })
    }

    /// The program with the demo's own settings. Ctrl-C reaches this chore alone, which then ends
    /// the others in order.
    fn program(&self, args: &[&str]) -> Command {
        let mut command = run::command(&self.program, args);
        command.env("DUBERNETES_STATE_DIR", &self.folder).env("DUBERNETES_INSTANCE", INSTANCE);
        command.env("DUBERNETES_HTTP_PORT", self.port.to_string());
        command.env("DUBERNETES_HTTP_BIND", "127.0.0.1");
        command.env("DUBERNETES_INGRESS_IMAGE", &self.ingress);
        command.env_remove("DUBERNETES_HOST").stdin(Stdio::null()).process_group(0);
        command
    }

    /// Starts the orchestrator, and returns once it answers.
    fn start(&mut self) -> Result<()> {
        println!("$ dubernetes serve --http-port {} &", self.port);
        let log = File::create(self.log())?;
        let mut serve = self.program(&["serve"]);
        serve.stdout(log.try_clone()?).stderr(log);
        let serve = self.serve.insert(serve.spawn().context("cannot start the orchestrator")?);
        let pid = serve.id();
        let socket = self.folder.join("dubernetes.sock");
        let end = Instant::now() + LIMIT;
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            self.interrupt.check()?;
            let ended = self.serve.as_mut().map(Child::try_wait).transpose()?.flatten();
            if let Some(status) = ended {
                bail!("the orchestrator (process {pid}) has ended: {status}");
            }
            ensure!(Instant::now() < end, "the orchestrator does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Applies the example, asks until each replica has answered, and shows what there is.
    fn show(&self) -> Result<()> {
        self.run(&["apply", MANIFEST])?;
        println!("\n$ curl -H 'Host: {HOST}' http://127.0.0.1:{}/", self.port);
        for (name, answer) in self.answers()? {
            println!("-- {name}\n{}", answer.trim_end());
        }
        self.run(&["get", "apps"])?;
        self.run(&["get", "pods"])
    }

    /// One answer of each replica, by its host name.
    fn answers(&self) -> Result<BTreeMap<String, String>> {
        let mut answers = BTreeMap::new();
        let mut problem = String::new();
        let end = Instant::now() + LIMIT;
        while answers.len() < REPLICAS {
            self.interrupt.check()?;
            ensure!(
                Instant::now() < end,
                "{} of {REPLICAS} replicas answered; the last problem: {problem:?}",
                answers.len()
            );
            match http::get(self.port, HOST) {
                Ok(answer) => match answer.lines().find_map(|l| l.strip_prefix("Hostname: ")) {
                    Some(name) => drop(answers.insert(name.to_owned(), answer)),
                    None => problem = answer,
                },
                Err(error) => problem = format!("{error:#}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(answers)
    }

    /// Runs one command of the program and shows it, as if it had been typed.
    fn run(&self, args: &[&str]) -> Result<()> {
        println!("\n$ dubernetes {}", args.join(" "));
        let mut child = self.program(args).spawn()?;
        loop {
            if let Some(status) = child.try_wait()? {
                ensure!(status.success(), "`dubernetes {}` failed: {status}", args.join(" "));
                return Ok(());
            }
            if let Err(error) = self.interrupt.check() {
                terminate(&mut child)?;
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Removes all that the demo has made, even if the program itself cannot.
    fn remove(&mut self) -> Result<()> {
        println!("\n$ dubernetes down --yes");
        let down = self.program(&["down", "--yes"]).status();
        if !down.as_ref().is_ok_and(std::process::ExitStatus::success) {
            println!("`dubernetes down` did not work ({down:?}), so the engine is asked instead");
        }
        if let Some(mut serve) = self.serve.take() {
            terminate(&mut serve)?;
        }
        for name in owned(self.engine)? {
            println!("removing {name}");
            let is_container = run::succeeds(&mut self.engine.command(["rm", "-f", &name]));
            let _ =
                is_container || run::succeeds(&mut self.engine.command(["network", "rm", &name]));
        }
        let left = owned(self.engine)?;
        ensure!(left.is_empty(), "these could not be removed: {}", left.join(", "));
        std::fs::remove_dir_all(&self.folder).context("cannot remove the demo's folder")?;
        println!("nothing of the demo is left");
        Ok(())
    }

    /// How to go on with what was kept, and how to end it.
    fn explain(&self) {
        let (folder, program) = (self.folder.display(), self.program.display());
        println!("\nThe demo goes on. In this or another terminal:\n");
        println!("  export DUBERNETES_STATE_DIR={folder} DUBERNETES_INSTANCE={INSTANCE}");
        println!("  curl -H 'Host: {HOST}' http://127.0.0.1:{}/", self.port);
        println!("  {program} get pods\n\nTo end it:\n");
        let pid = self.serve.as_ref().map_or(0, Child::id);
        println!("  {program} down --yes; kill {pid}; rm -r {folder}");
    }

    fn log(&self) -> PathBuf {
        self.folder.join("serve.log")
    }

    /// The last lines of what the orchestrator has said.
    fn print_log(&self) {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        for line in &lines[lines.len().saturating_sub(40)..] {
            eprintln!("  serve: {line}");
        }
    }
}

/// Asks a process to end, and ends it if it does not.
fn terminate(child: &mut Child) -> Result<()> {
    if child.try_wait()?.is_none() {
        run::succeeds(&mut run::command("kill", ["-TERM", &child.id().to_string()]));
    }
    let end = Instant::now() + END_LIMIT;
    while child.try_wait()?.is_none() {
        if Instant::now() > end {
            println!("process {} does not end when asked to, so it is killed", child.id());
            child.kill()?;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
