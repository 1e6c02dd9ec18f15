//! An orchestrator on a manager of a swarm, which shares its state with those on other managers.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::load::print_line;
use crate::manifest::Manifest;
use crate::program::CommandResult;
use crate::scenario::Scenario;
use crate::swarm::Swarm;

/// A running `serve` on a machine, which dies with it.
#[derive(Debug)]
pub struct Manager<'a> {
    scenario: &'a Scenario,
    node: String,
    folder: PathBuf,
    settings: Vec<(&'static str, String)>,
    /// Where its ingress and its published ports listen.
    address: String,
    process: Child,
}

impl<'a> Manager<'a> {
    /// Starts `serve --store swarm` on a machine.
    pub fn serve(scenario: &'a Scenario, swarm: &Swarm, number: usize) -> Self {
        Self::serve_with(scenario, swarm, number, "swarm", &[])
    }

    /// Starts `serve` with a store and more arguments on a machine.
    pub fn serve_with(
        scenario: &'a Scenario,
        swarm: &Swarm,
        number: usize,
        store: &str,
        arguments: &[&str],
    ) -> Self {
        let folder = scenario.state_dir().join(format!("m{number}"));
        std::fs::create_dir_all(&folder).unwrap();
        let serve = scenario.command("dubernetes", &[&["serve"], arguments].concat());
        let mut command = Command::new("nsenter");
        command.args(swarm.enter(number)).arg(serve.get_program()).args(serve.get_args());
        for (name, value) in serve.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mut settings = swarm.settings_of(number);
        settings.push(("DUBERNETES_STORE", store.to_owned()));
        settings.push(("DUBERNETES_STATE_DIR", folder.to_str().unwrap().to_owned()));
        let log = File::create(folder.join("serve.log")).unwrap();
        command
            .envs(settings.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let (node, address) = (swarm.name(number), swarm.address(number));
        Self { scenario, node, folder, settings, address, process: command.spawn().unwrap() }
    }

    /// Returns the name of its node.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Runs a command of the program on this manager.
    pub async fn run(&self, arguments: &[&str]) -> CommandResult {
        let variables = self.settings.iter().map(|(name, value)| (*name, value.as_str()));
        let variables: Vec<_> = variables.collect();
        self.scenario.run_with_variables(arguments, &variables).await
    }

    /// Applies a manifest and waits until the app is ready.
    pub async fn apply(&self, manifest: &Manifest) -> CommandResult {
        let name = format!("{}.yaml", manifest.name);
        let path = self.scenario.write_file(&name, &manifest.to_string());
        self.run(&["apply", &path]).await.assert_success()
    }

    /// Returns the answer of its ingress to a request, head and body.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn get(&self, host: &str) -> Result<String, String> {
        self.get_at(self.scenario.port, host)
    }

    /// Returns the answer at a published port to a request, head and body.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn get_at(&self, port: u16, host: &str) -> Result<String, String> {
        let address = format!("{}:{port}", self.address).parse().unwrap();
        let text = |error: std::io::Error| format!("{address}: {error}");
        let limit = Duration::from_secs(5);
        let mut stream = TcpStream::connect_timeout(&address, limit).map_err(text)?;
        stream.set_read_timeout(Some(limit)).map_err(text)?;
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).map_err(text)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(text)?;
        match answer.starts_with("HTTP/1.1 200") {
            true => Ok(answer),
            false => Err(answer),
        }
    }

    /// Returns the certificate of its ingress for a host.
    ///
    /// # Errors
    ///
    /// That of curl.
    pub fn certificate(&self, port: u16, host: &str) -> Result<String, String> {
        let (at, url) =
            (format!("{host}:{port}:{}", self.address), format!("https://{host}:{port}/"));
        let options = ["-sS", "-f", "-k", "-m", "5", "-o", "/dev/null", "-w", "%{certs}"];
        let curl = Command::new("curl").args(options).args(["--resolve", &at, &url]).output();
        let curl = curl.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match curl.status.success() {
            true => Ok(text(&curl.stdout)),
            false => Err(text(&curl.stderr)),
        }
    }

    /// Ends the orchestrator as its service manager does, and waits for its end.
    pub fn terminate(&mut self) {
        let outer = self.process.id();
        let children = std::fs::read_to_string(format!("/proc/{outer}/task/{outer}/children"));
        let child = children.unwrap().split_whitespace().next().unwrap().parse().unwrap();
        kill_process(Pid::from_raw(child).unwrap(), Signal::TERM).unwrap();
        let _ = self.process.wait().unwrap();
    }

    /// Waits for the end of an orchestrator that does not start.
    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }

    /// Returns what the orchestrator has printed and logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("serve.log")).unwrap_or_default()
    }
}

impl Drop for Manager<'_> {
    fn drop(&mut self) {
        // The orchestrator itself ends with its machine.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            print_line(&format!("log of {}:\n{}", self.folder.display(), self.log()));
        }
    }
}
