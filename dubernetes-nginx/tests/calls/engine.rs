//! A mock engine with one container, in which a simulated nginx reads the files that are put there.
//!
//! Records the calls that change something or run a command in the container.

#[path = "engine/js.rs"]
mod js;
#[path = "engine/served.rs"]
mod served;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use dubernetes_core::app::{ImageRef, InstanceName, PullPolicy};
use dubernetes_core::dial::ProbeAnswer;
use dubernetes_core::ingress::TrustedProxies;
use dubernetes_core::runtime::{
    Container, ContainerId, ContainerRequest, ContainerState, ExecOutput, ExecRequest, ExecSession,
    Exit, FileEntry, ImageId, Network, Process, RuntimeError,
};
use dubernetes_nginx::config::ROOT;
use dubernetes_nginx::{NginxConfig, NginxIngress};
use dubernetes_testkit::{MockContainerRuntime, MockDialer};
use futures_util::{StreamExt as _, io, stream};

pub(crate) use crate::tables::{endpoint, listener, route, table};

#[derive(Debug, Clone, Default)]
pub(crate) struct Engine(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    calls: Vec<String>,
    container: Option<Container>,
    made: u32,
    starts: u32,
    files: BTreeMap<String, String>,
    /// The paths of files that only the owner may read.
    private: BTreeSet<String>,
    current: String,
    /// The directory that nginx read at its start or last reload.
    serving: Option<String>,
    version: Option<String>,
    refused: Option<String>,
    refuses_all: bool,
    cuts_files: bool,
    refuses_start: bool,
    ignores_reloads: bool,
    connection: Option<SocketAddr>,
    floods: bool,
    hangs: bool,
    /// The image has nginx alone. The engine then lists the processes.
    lacks_tools: bool,
    reads_fail: bool,
    /// The image that the tag has now.
    tag: Option<String>,
    lacks_stream: bool,
    /// The access log.
    log: String,
    lacks_realip: bool,
    /// What the module for JavaScript answers, if the image has it.
    counts: Option<String>,
}

impl Engine {
    pub(crate) fn ingress(&self) -> NginxIngress {
        self.ingress_at(8080)
    }

    pub(crate) fn ingress_at(&self, http_port: u16) -> NginxIngress {
        self.ingress_with(|config| config.http_port = http_port)
    }

    /// Returns an ingress with changed settings.
    pub(crate) fn ingress_with(&self, change: impl FnOnce(&mut NginxConfig)) -> NginxIngress {
        let mut config = NginxConfig {
            instance: InstanceName::default(),
            image: ImageRef::parse("nginx:1").unwrap(),
            pull: PullPolicy::Missing,
            http_bind: vec![[127, 0, 0, 1].into()],
            http_port: 8080,
            keepalive_window: NginxConfig::KEEPALIVE_WINDOW,
            https_port: None,
            trusted_proxies: TrustedProxies::default(),
            proxy_protocol: false,
            access_log: false,
            count_requests: false,
        };
        change(&mut config);
        NginxIngress::new(Arc::new(self.runtime()), Arc::new(self.dialer()), config)
    }

    pub(crate) fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().calls)
    }

    pub(crate) fn set_log(&self, text: &str) {
        text.clone_into(&mut self.0.lock().unwrap().log);
    }

    pub(crate) fn refuse(&self, text: &str) {
        self.0.lock().unwrap().refused = Some(text.to_owned());
    }

    pub(crate) fn refuse_everything(&self) {
        self.0.lock().unwrap().refuses_all = true;
    }

    pub(crate) fn cut_files(&self, cut: bool) {
        self.0.lock().unwrap().cuts_files = cut;
    }

    pub(crate) fn refuse_start(&self, refuse: bool) {
        self.0.lock().unwrap().refuses_start = refuse;
    }

    pub(crate) fn ignore_reloads(&self, ignore: bool) {
        self.0.lock().unwrap().ignores_reloads = ignore;
    }

    pub(crate) fn set_version(&self, version: &str) {
        self.0.lock().unwrap().version = Some(version.to_owned());
    }

    pub(crate) fn connect(&self, endpoint: SocketAddr) {
        self.0.lock().unwrap().connection = Some(endpoint);
    }

    pub(crate) fn disconnect(&self) {
        self.0.lock().unwrap().connection = None;
    }

    /// Makes commands print more than the output limit.
    pub(crate) fn flood(&self, flood: bool) {
        self.0.lock().unwrap().floods = flood;
    }

    /// Makes commands hang, as in a paused container.
    pub(crate) fn hang(&self) {
        self.0.lock().unwrap().hangs = true;
    }

    /// Takes all tools but nginx out of the image.
    pub(crate) fn lose_tools(&self) {
        self.0.lock().unwrap().lacks_tools = true;
    }

    /// Gives the tag another image.
    pub(crate) fn move_tag(&self, image: &str) {
        self.0.lock().unwrap().tag = Some(image.to_owned());
    }

    /// Makes the engine fail to read files.
    pub(crate) fn fail_reads(&self, fail: bool) {
        self.0.lock().unwrap().reads_fail = fail;
    }

    pub(crate) fn damage(&self, file: &str) {
        let mut state = self.0.lock().unwrap();
        let path = format!("{ROOT}/{}/{file}", state.current);
        *state.files.get_mut(&path).unwrap() = "damaged".into();
    }

    pub(crate) fn exit(&self, code: i64) {
        let state = ContainerState::Exited(Exit {
            code,
            out_of_memory: false,
            started_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            finished_at: "2026-01-01T00:00:01Z".parse().unwrap(),
        });
        self.0.lock().unwrap().end(state);
    }

    /// Takes the container off its network. nginx goes on.
    pub(crate) fn leave_network(&self) {
        self.0.lock().unwrap().container.as_mut().unwrap().endpoint = None;
    }

    /// Takes the stream module out of the image.
    pub(crate) fn remove_stream(&self) {
        self.0.lock().unwrap().lacks_stream = true;
    }

    /// Takes the realip module out of the image.
    pub(crate) fn remove_realip(&self) {
        self.0.lock().unwrap().lacks_realip = true;
    }

    pub(crate) fn pause(&self) {
        self.0.lock().unwrap().end(ContainerState::Paused);
    }

    /// Removes the container and its files, as a user would.
    pub(crate) fn lose(&self) {
        self.0.lock().unwrap().lose();
    }

    fn dialer(&self) -> MockDialer {
        let mut mock = MockDialer::new();
        let state = Arc::clone(&self.0);
        mock.expect_probe().returning(move |_, _, _| state.lock().unwrap().answer());
        self.expect_counts(&mut mock);
        mock
    }

    fn runtime(&self) -> MockContainerRuntime {
        let mut mock = MockContainerRuntime::new();
        let shared = || Arc::clone(&self.0);
        let network = || Network { id: "net".into(), subnet: "10.89.0.0/24".parse().unwrap() };
        mock.expect_find_network().returning(move |_| Ok(Some(network())));
        let state = shared();
        mock.expect_list()
            .returning(move |_| Ok(state.lock().unwrap().container.iter().cloned().collect()));
        let state = shared();
        mock.expect_inspect().returning(move |_| Ok(state.lock().unwrap().existing()));
        let state = shared();
        mock.expect_resolve().returning(move |_, _| {
            let mut state = state.lock().unwrap();
            state.note("image");
            Ok(ImageId(state.tag.clone().unwrap_or_else(|| "sha256:1".into())))
        });
        let state = shared();
        mock.expect_create().returning(move |request| Ok(state.lock().unwrap().create(request)));
        let state = shared();
        mock.expect_start().returning(move |_| state.lock().unwrap().start());
        let state = shared();
        mock.expect_stop().returning(move |_, _, _| {
            let mut state = state.lock().unwrap();
            state.note("stop");
            state.end(ContainerState::Created);
            Ok(())
        });
        let state = shared();
        mock.expect_remove().returning(move |_| {
            let mut state = state.lock().unwrap();
            state.note("remove");
            state.lose();
            Ok(())
        });
        let state = shared();
        mock.expect_signal().returning(move |_, signal| {
            state.lock().unwrap().reload(signal.as_str());
            Ok(())
        });
        let state = shared();
        mock.expect_put_files().returning(move |_, files| {
            state.lock().unwrap().put(files);
            Ok(())
        });
        let state = shared();
        mock.expect_read_files().returning(move |_, path| state.lock().unwrap().read(path));
        let state = shared();
        mock.expect_processes().returning(move |_| state.lock().unwrap().processes());
        let state = shared();
        mock.expect_run().returning(move |_, request| Ok(state.lock().unwrap().exec(request)));
        mock
    }
}

impl State {
    fn note(&mut self, call: &str) {
        self.calls.push(call.to_owned());
    }

    fn existing(&self) -> Container {
        self.container.clone().unwrap()
    }

    fn create(&mut self, request: &ContainerRequest) -> ContainerId {
        self.note("create");
        assert!(self.container.is_none(), "the name is free");
        assert!((1..=2).contains(&request.ports.len()), "{:?}", request.ports);
        self.made += 1;
        let id = ContainerId(format!("nginx-{}", self.made).into());
        self.container = Some(Container {
            id: id.clone(),
            name: request.name.clone(),
            image_id: ImageId(request.image.clone()),
            labels: request.labels.clone(),
            state: ContainerState::Created,
            created_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            endpoint: None,
            limits: None,
        });
        id
    }

    fn start(&mut self) -> Result<(), RuntimeError> {
        self.note("start");
        if self.refuses_start {
            return Err(RuntimeError::Rejected {
                operation: "start it".to_owned(),
                message: "address in use".to_owned(),
            });
        }
        self.starts += 1;
        let at = format!("2026-01-01T00:01:{:02}Z", self.starts);
        let state = ContainerState::Running { started_at: at.parse().unwrap() };
        let container = self.container.as_mut().unwrap();
        container.state = state;
        container.endpoint = Some("10.89.0.2:80".parse().unwrap());
        self.serving = Some(self.current.clone());
        Ok(())
    }

    fn end(&mut self, state: ContainerState) {
        self.container.as_mut().unwrap().state = state;
        self.serving = None;
    }

    fn lose(&mut self) {
        self.container = None;
        self.serving = None;
        self.files.clear();
    }

    fn reload(&mut self, signal: &str) {
        self.note(&format!("signal {signal}"));
        if !self.ignores_reloads {
            self.serving = Some(self.current.clone());
        }
    }

    fn put(&mut self, entries: &[FileEntry]) {
        let mut files = 0;
        for entry in entries {
            match entry {
                FileEntry::File { path, contents } | FileEntry::PrivateFile { path, contents } => {
                    files += 1;
                    if matches!(entry, FileEntry::PrivateFile { .. }) {
                        self.private.insert(path.clone());
                    }
                    let mut text = String::from_utf8(contents.to_vec()).unwrap();
                    if self.cuts_files {
                        text.truncate(text.len() / 2);
                    }
                    self.files.insert(path.clone(), text);
                }
                FileEntry::Directory { path } => assert!(path.starts_with(ROOT)),
                FileEntry::Symlink { path, target } => {
                    assert_eq!(*path, format!("{ROOT}/current"));
                    self.current.clone_from(target);
                }
            }
        }
        self.note(if files > 0 { "put gen" } else { "put link" });
    }

    fn read(&mut self, directory: &str) -> Result<BTreeMap<String, Bytes>, RuntimeError> {
        let is_link = directory == format!("{ROOT}/current");
        self.note(if is_link { "read current" } else { "read gen" });
        if self.reads_fail {
            return Err(RuntimeError::Timeout { operation: "read files".to_owned() });
        }
        let folder =
            if is_link { format!("{ROOT}/{}", self.current) } else { directory.to_owned() };
        let below = |(path, text): (&String, &String)| {
            let path = path.strip_prefix(&folder)?.strip_prefix('/')?;
            Some((path.to_owned(), Bytes::from(text.clone())))
        };
        Ok(self.files.iter().filter_map(below).collect())
    }

    fn processes(&self) -> Result<Vec<Process>, RuntimeError> {
        if !self.lacks_tools {
            return Err(RuntimeError::Unsupported { what: "lists of processes" });
        }
        let workers = 2 + u32::from(self.connection.is_some());
        let process = |pid: u32| Process {
            pid,
            parent: if pid == 7 { 1 } else { 7 },
            command: if pid == 7 { "nginx: master process" } else { "nginx: worker" }.to_owned(),
        };
        Ok((7..=7 + workers).map(process).collect())
    }

    fn answer(&self) -> ProbeAnswer {
        match &self.serving {
            Some(folder) => ProbeAnswer::Http { status: 200, body: folder[4..].to_owned() },
            None => ProbeAnswer::Failed { reason: "connection refused".into() },
        }
    }

    fn exec(&mut self, request: &ExecRequest) -> ExecSession {
        let command: Vec<_> = request.command.iter().map(String::as_str).collect();
        let (name, stdout, stderr, code) = match command[..] {
            ["nginx", "-V"] => {
                let version = self.version.clone();
                let text = version.unwrap_or_else(|| "nginx version: nginx/1.30.6\n".into());
                let arguments = "configure arguments: --with-http_realip_module";
                let text = if self.lacks_realip { text } else { text + arguments };
                ("exec nginx -V", String::new(), text, 0)
            }
            ["nginx", "-T", "-c", main] => self.check(main),
            ["sh" | "ls" | "rm", ..] if self.lacks_tools => {
                ("exec missing", String::new(), "executable file not found".to_owned(), 127)
            }
            ["sh", "-c", script] if script.starts_with("nginx -V") => {
                let names = "  |-- 10.89.0.128\n    /26 host LOCAL\n";
                let stream = if self.lacks_stream { "" } else { "--with-stream" };
                let text = format!("configure arguments: {stream}\n{names}\nend-of-features\n");
                ("exec features", text, String::new(), 0)
            }
            ["sh", "-c", script] if script.contains("js_set") => {
                ("exec javascript", self.javascript().to_owned(), String::new(), 0)
            }
            ["sh", "-c", script] if script.contains("kill -USR1") => {
                ("exec rotation", String::new(), String::new(), 0)
            }
            ["sh", "-c", _, "sh", ""] => ("exec log", self.log.clone(), String::new(), 0),
            ["sh", "-c", script] => {
                assert!(script.contains("children; grep"), "{script}");
                ("exec snapshot", self.connections(), String::new(), 0)
            }
            ["ls", ROOT] => {
                let mut names: BTreeSet<_> = ["current", "nginx.pid"].into();
                names.extend(self.files.keys().filter_map(|path| path.split('/').nth(4)));
                ("exec ls", Vec::from_iter(names).join("\n"), String::new(), 0)
            }
            ["rm", "-rf", ref folders @ ..] => {
                self.files.retain(|path, _| !folders.iter().any(|f| path.starts_with(f)));
                ("exec rm", String::new(), String::new(), 0)
            }
            _ => panic!("unexpected command {command:?}"),
        };
        self.note(name);
        if self.hangs {
            return ExecSession::new(Box::pin(io::sink()), stream::pending().boxed());
        }
        let mut output = vec![
            Ok(ExecOutput::Stdout(Bytes::from(stdout))),
            Ok(ExecOutput::Stderr(Bytes::from(stderr))),
            Ok(ExecOutput::Exit(code)),
        ];
        if self.floods {
            let part = Bytes::from(vec![b'\n'; 1 << 20]);
            output.splice(1..1, (0..9).map(|_| Ok(ExecOutput::Stdout(part.clone()))));
        }
        ExecSession::new(Box::pin(io::sink()), stream::iter(output).boxed())
    }

    fn check(&self, main: &str) -> (&'static str, String, String, i64) {
        let folder = main.strip_suffix("/nginx.conf").unwrap();
        let configuration: Vec<_> = self
            .files
            .iter()
            .filter(|(path, _)| path.starts_with(folder) && path.ends_with(".conf"))
            .collect();
        let bad = |file: &str| self.refused.as_ref().is_some_and(|text| file.contains(text));
        let refused = configuration.iter().find(|(_, file)| self.refuses_all || bad(file));
        match refused {
            Some((path, _)) => {
                let message =
                    format!("2026/01/01 00:00:00 [emerg] 9#9: no such port in {path}:4\n");
                ("exec nginx -T", String::new(), message, 1)
            }
            None => {
                let show = |(path, file)| format!("# configuration file {path}:\n{file}\n");
                let dump = configuration.into_iter().map(show).collect();
                ("exec nginx -T", dump, String::new(), 0)
            }
        }
    }

    fn connections(&self) -> String {
        let head = "20 21   sl  local_address rem_address   st\n".to_owned();
        match self.connection {
            Some(SocketAddr::V4(endpoint)) => {
                let remote = u32::from_ne_bytes(endpoint.ip().octets());
                let port = endpoint.port();
                let rest = "00000000:00000000 00:00000000 00000000 65534 0 30777 1 0";
                head + &format!("   0: 0200590A:C350 {remote:08X}:{port:04X} 01 {rest}\n")
            }
            Some(SocketAddr::V6(_)) | None => head,
        }
    }
}
