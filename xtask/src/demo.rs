//! The demo: an orchestrator with three replicas behind nginx, and a request to each of them.
//! Without a container engine, the replicas are processes.
//!
//! Removes everything afterwards, also after a failure or Ctrl-C.

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

use crate::engine::{self, Engine};
use crate::{images, run};
use interrupt::Interrupt;

const INSTANCE: &str = "demo";
const HOST: &str = "whoami.local";
const MANIFEST: &str = "examples/whoami/app.yaml";
/// The same app as a program, written to the demo's folder.
const PROGRAM_MANIFEST: &str = "app.yaml";
const REPLICAS: usize = 3;
/// Time limit for the orchestrator to answer, and for each replica to answer through nginx.
const LIMIT: Duration = Duration::from_secs(60);
/// Time limit for the orchestrator to exit after SIGTERM.
const EXIT_LIMIT: Duration = Duration::from_secs(20);

/// Runs the demo on this machine's engine, which root gets if it is missing, or with processes
/// where none can be had. With `keep` the orchestrator and its replicas keep running.
pub(crate) fn demo(profile: &str, keep: bool) -> Result<()> {
    match engine::provide() {
        Ok((engine, daemon)) => {
            run(profile, Some(engine), keep)?;
            if let Some(stop) = keep.then(|| daemon.keep()).flatten() {
                println!("  {stop}  # dockerd");
            }
            Ok(())
        }
        Err(error) if std::env::var_os("DUBERNETES_REQUIRE_ENGINE").is_none() => {
            println!("{error:#}");
            run(profile, None, keep)
        }
        Err(error) => Err(error),
    }
}

/// Runs the demo with a program of this profile of cargo. Without an engine, the replicas are
/// processes.
pub(crate) fn run(profile: &str, engine: Option<Engine>, keep: bool) -> Result<()> {
    let interrupt = Interrupt::watch()?;
    if engine.is_none() {
        println!("the replicas are processes of this machine, not containers");
    }
    let existing = list_owned(engine)?;
    ensure!(
        existing.is_empty(),
        "instance {INSTANCE} already exists: {}; stop it or remove these first",
        existing.join(", ")
    );
    let ingress = engine.map(images::ensure).transpose()?.map(|images| images.ingress);
    println!("building the program");
    let program = run::build_program(profile, "dubernetes")?;
    interrupt.check()?;

    let mut demo = Demo::new(profile, engine, program, ingress, interrupt)?;
    let result = demo.start().and_then(|()| demo.show());
    if result.is_ok() && keep {
        demo.print_next_steps();
        return Ok(());
    }
    if let Err(error) = &result {
        eprintln!("the demo failed: {error:#}");
        // The log does not explain an interruption.
        if demo.interrupt.check().is_ok() {
            demo.print_log();
        }
    }
    let removed = demo.remove();
    result.and(removed)
}

/// Lists the containers and networks of the instance by name.
fn list_owned(engine: Option<Engine>) -> Result<Vec<String>> {
    let Some(engine) = engine else { return Ok(Vec::new()) };
    let filter = format!("label=dubernetes.instance={INSTANCE}");
    let containers = ["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"];
    let networks = ["network", "ls", "--filter", &filter, "--format", "{{.Name}}"];
    let mut names = run::read(&mut engine.command(containers))?;
    names.push_str(&run::read(&mut engine.command(networks))?);
    Ok(names.lines().map(str::to_owned).collect())
}

/// A running demo.
struct Demo<'a> {
    profile: &'a str,
    /// `None`: the replicas are processes.
    engine: Option<Engine>,
    interrupt: Interrupt,
    program: PathBuf,
    folder: PathBuf,
    /// Image of nginx.
    ingress: Option<String>,
    port: u16,
    serve: Option<Child>,
}

impl<'a> Demo<'a> {
    fn new(
        profile: &'a str,
        engine: Option<Engine>,
        program: PathBuf,
        ingress: Option<String>,
        interrupt: Interrupt,
    ) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("dubernetes-demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        // The port is free now, and most probably still free when nginx binds it.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        Ok(Self { profile, engine, interrupt, program, folder, ingress, port, serve: None })
    }

    /// Returns a command of the program with the demo's settings, in a process group of its own:
    /// Ctrl-C must reach only this task, which then stops the others in order.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = run::command(&self.program, args);
        command.env("DUBERNETES_STATE_DIR", &self.folder).env("DUBERNETES_INSTANCE", INSTANCE);
        command.env("DUBERNETES_HTTP_PORT", self.port.to_string());
        command.env("DUBERNETES_HTTP_BIND", "127.0.0.1");
        match &self.ingress {
            Some(image) => command.env("DUBERNETES_INGRESS_IMAGE", image),
            None => command.env("DUBERNETES_RUNTIME", "process"),
        };
        command.env_remove("DUBERNETES_HOST").stdin(Stdio::null()).process_group(0);
        command
    }

    /// Starts the orchestrator and waits until it answers.
    fn start(&mut self) -> Result<()> {
        println!("$ dubernetes serve --http-port {} &", self.port);
        let log = File::create(self.log())?;
        let mut serve = self.command(&["serve"]);
        serve.stdout(log.try_clone()?).stderr(log);
        let serve = self.serve.insert(serve.spawn().context("cannot start the orchestrator")?);
        let pid = serve.id();
        let socket = self.folder.join("dubernetes.sock");
        let end = Instant::now() + LIMIT;
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            self.interrupt.check()?;
            let exited = self.serve.as_mut().map(Child::try_wait).transpose()?.flatten();
            if let Some(status) = exited {
                bail!("the orchestrator (process {pid}) exited: {status}");
            }
            ensure!(Instant::now() < end, "the orchestrator does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Applies the example, sends requests until each replica has answered, and lists apps and
    /// pods.
    fn show(&self) -> Result<()> {
        match self.engine {
            Some(_) => self.run(&["apply", MANIFEST])?,
            None => self.run(&["apply", &self.write_manifest()?])?,
        }
        println!("\n$ curl -H 'Host: {HOST}' http://127.0.0.1:{}/", self.port);
        for (name, answer) in self.collect_answers()? {
            println!("-- {name}\n{}", answer.trim_end());
        }
        self.run(&["get", "apps"])?;
        self.run(&["get", "pods"])
    }

    /// Writes a manifest of the example that runs its program, and returns its path.
    fn write_manifest(&self) -> Result<String> {
        let program = run::build_program(self.profile, "whoami")?;
        let example = std::fs::read_to_string(run::root().join(MANIFEST))?;
        let is_image = |line: &&str| line.starts_with("image:");
        let image = example.lines().find(is_image).context("the example has no image")?;
        let path = self.folder.join(PROGRAM_MANIFEST);
        let program = format!("program: {}", program.display());
        std::fs::write(&path, example.replace(image, &program))?;
        Ok(path.display().to_string())
    }

    /// Returns one answer of each replica by its name.
    fn collect_answers(&self) -> Result<BTreeMap<String, String>> {
        let mut answers = BTreeMap::new();
        let mut last_error = String::new();
        let end = Instant::now() + LIMIT;
        while answers.len() < REPLICAS {
            self.interrupt.check()?;
            ensure!(
                Instant::now() < end,
                "{} of {REPLICAS} replicas answered; last error: {last_error:?}",
                answers.len()
            );
            match http::get(self.port, HOST) {
                Ok(answer) => match answer.lines().find_map(|l| l.strip_prefix("Replica: ")) {
                    Some(name) => drop(answers.insert(name.to_owned(), answer)),
                    None => last_error = answer,
                },
                Err(error) => last_error = format!("{error:#}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(answers)
    }

    /// Prints and runs a command of the program, as a shell would.
    fn run(&self, args: &[&str]) -> Result<()> {
        println!("\n$ dubernetes {}", args.join(" "));
        let mut child = self.command(args).spawn()?;
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

    /// Removes everything that the demo has created, even if `dubernetes down` fails.
    fn remove(&mut self) -> Result<()> {
        println!("\n$ dubernetes down --yes");
        let down = self.command(&["down", "--yes"]).status();
        if !down.as_ref().is_ok_and(std::process::ExitStatus::success) {
            println!("`dubernetes down` failed ({down:?}), removing through the engine");
        }
        if let Some(mut serve) = self.serve.take() {
            terminate(&mut serve)?;
        }
        for name in list_owned(self.engine)? {
            let Some(engine) = self.engine else { break };
            println!("removing {name}");
            let is_container = run::succeeds(&mut engine.command(["rm", "-f", &name]));
            let _ = is_container || run::succeeds(&mut engine.command(["network", "rm", &name]));
        }
        let left = list_owned(self.engine)?;
        ensure!(left.is_empty(), "cannot remove {}", left.join(", "));
        std::fs::remove_dir_all(&self.folder).context("cannot remove the demo's folder")?;
        println!("nothing of the demo is left");
        Ok(())
    }

    /// Prints how to use the running demo and how to stop it.
    fn print_next_steps(&self) {
        let folder = self.folder.display();
        let program = self.program.display();
        println!("\nThe demo keeps running. In this or another terminal:\n");
        println!("  export DUBERNETES_STATE_DIR={folder} DUBERNETES_INSTANCE={INSTANCE}");
        println!("  curl -H 'Host: {HOST}' http://127.0.0.1:{}/", self.port);
        println!("  {program} get pods\n\nTo stop it:\n");
        let pid = self.serve.as_ref().map_or(0, Child::id);
        println!("  {program} down --yes; kill {pid}; rm -r {folder}");
    }

    fn log(&self) -> PathBuf {
        self.folder.join("serve.log")
    }

    /// Prints the last lines of the orchestrator's log.
    fn print_log(&self) {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        for line in &lines[lines.len().saturating_sub(40)..] {
            eprintln!("  serve: {line}");
        }
    }
}

/// Sends SIGTERM to a process, and SIGKILL if it does not exit in time.
fn terminate(child: &mut Child) -> Result<()> {
    if child.try_wait()?.is_none() {
        run::succeeds(&mut run::command("kill", ["-TERM", &child.id().to_string()]));
    }
    let end = Instant::now() + EXIT_LIMIT;
    while child.try_wait()?.is_none() {
        if Instant::now() > end {
            println!("process {} ignores SIGTERM, killing it", child.id());
            child.kill()?;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
