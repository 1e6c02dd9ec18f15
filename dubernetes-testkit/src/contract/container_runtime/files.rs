//! Files that are put into containers, at their creation and later.

use bytes::Bytes;

use dubernetes_core::app::{FileMode, FileTarget, Secret};
use dubernetes_core::runtime::{ContainerFile, ContainerId, ContainerState, FileEntry};

use super::commands::{assert_result, run};
use super::harness::{ContractHarness, is_name_taken, is_not_found, missing, must, must_fail};

async fn put(harness: &ContractHarness<'_>, id: &ContainerId, files: &[FileEntry]) {
    must("put files", harness.files().put(id, files).await);
}

async fn read(
    harness: &ContractHarness<'_>,
    id: &ContainerId,
    directory: &str,
) -> Vec<(String, String)> {
    let found = must("read a directory", harness.files().read(id, directory).await);
    let text = |content: &Bytes| String::from_utf8_lossy(content).into_owned();
    found.iter().map(|(path, content)| (path.clone(), text(content))).collect()
}

fn pairs(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files.iter().map(|(path, content)| ((*path).to_owned(), (*content).to_owned())).collect()
}

pub(super) async fn put_needs_a_container(harness: &ContractHarness<'_>) {
    let put = harness.files().put(&missing(), &[file(&harness.path("x"), "x")]).await;
    must_fail("files for a missing container are `not found`", put, is_not_found);
    let read = harness.files().read(&missing(), &harness.facts.folder).await;
    must_fail("a directory of a missing container is `not found`", read, is_not_found);
}

pub(super) async fn put_starts_nothing(harness: &ContractHarness<'_>) {
    let id = harness.create(&harness.request("put-files")).await;
    put(harness, &id, &[file(&harness.path("put-files/a"), "a")]).await;
    put(harness, &id, &[]).await;
    let state = harness.inspect(&id).await.state;
    assert_eq!(state, ContainerState::Created, "putting files starts nothing");
    harness.remove(&id).await;
}

pub(super) async fn files_are_read_back(harness: &ContractHarness<'_>) {
    let id = harness.create(&harness.request("read-back")).await;
    let folder = harness.path("read-back");
    let files = [file(&format!("{folder}/deep/a.txt"), "a"), file(&format!("{folder}/b"), "")];
    put(harness, &id, &files).await;
    put(harness, &id, &files).await;
    let expected = pairs(&[("b", ""), ("deep/a.txt", "a")]);
    assert_eq!(read(harness, &id, &folder).await, expected, "the directory has the files");
    put(harness, &id, &[file(&format!("{folder}/b"), "new")]).await;
    let expected = pairs(&[("b", "new"), ("deep/a.txt", "a")]);
    assert_eq!(read(harness, &id, &folder).await, expected, "a file is replaced, others stay");
    harness.remove(&id).await;
}

pub(super) async fn missing_directory_is_not_found(harness: &ContractHarness<'_>) {
    let id = harness.create(&harness.request("no-directory")).await;
    let folder = harness.path("no-directory");
    put(harness, &id, &[file(&format!("{folder}/a"), "a")]).await;
    for directory in [harness.path("nothing"), format!("{folder}/nothing")] {
        let read = harness.files().read(&id, &directory).await;
        must_fail("a missing directory is `not found`", read, is_not_found);
    }
    harness.remove(&id).await;
}

pub(super) async fn create_with_files_is_whole(harness: &ContractHarness<'_>) {
    let mut request = harness.request("with-files");
    let folder = harness.path("with-files");
    request.files = vec![container_file(&format!("{folder}/new/a.conf"), "a", "0644")];
    let id = harness.create(&request).await;
    let created = harness.inspect(&id).await;
    assert_eq!(created.state, ContainerState::Created, "files are put before the start");
    let seen = read(harness, &id, &folder).await;
    assert_eq!(seen, pairs(&[("new/a.conf", "a")]), "the files are there before the start");
    let again = harness.runtime.create(&request).await;
    must_fail("a name is given once, also with files", again, is_name_taken);
    assert_eq!(harness.list().await, [created], "a refused create leaves nothing");
    harness.remove(&id).await;
}

/// The process itself reads the files, so files that arrive late fail the check.
pub(super) async fn files_exist_at_the_start(harness: &ContractHarness<'_>) {
    let (first, second) = (harness.path("first-files/a"), harness.path("first-files/deep/b"));
    let mut request = harness.script("first-files", &format!("cat {first} {second}"));
    request.files = vec![
        container_file(&first, "canary-4711 \"ü\" ", "0644"),
        container_file(&second, "second\n", "0600"),
    ];
    let seen = harness.run_script(&request).await;
    assert_eq!(seen, (0, "canary-4711 \"ü\" second\n".to_owned()), "files are as requested");
}

pub(super) async fn files_have_their_modes(harness: &ContractHarness<'_>) {
    let (folder, modes) = (harness.path("modes"), ["0644", "0400", "0755"]);
    let mut request = harness.script(
        "modes",
        &format!("cd {folder}; for file in 0644 0400 0755; do ls -ld $file; done"),
    );
    let files = modes.map(|mode| container_file(&format!("{folder}/{mode}"), "x", mode));
    request.files = files.to_vec();
    let (_, listed) = harness.run_script(&request).await;
    assert_eq!(modes_of(&listed), ["-rw-r--r--", "-r--------", "-rwxr-xr-x"], "seen: {listed}");
}

pub(super) async fn put_files_are_readable(harness: &ContractHarness<'_>) {
    let path = harness.path("before-start/a");
    let request = harness.script("before-start", &format!("cat {path}"));
    let id = harness.create(&request).await;
    put(harness, &id, &[file(&path, "before the start")]).await;
    must("start a container", harness.runtime.start(&id).await);
    assert_eq!(harness.exit_code(&id).await, 0, "the file is there");
    let printed = harness.printed(&request, &id).await;
    assert_eq!(printed.trim_end(), "before the start", "the process reads the file");
    harness.remove(&id).await;
}

pub(super) async fn put_files_replace_others(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("replaced")).await;
    let (a, b) = (harness.path("replaced/a"), harness.path("replaced/new/folder/b"));
    put(harness, &id, &[file(&a, "first")]).await;
    put(harness, &id, &[file(&b, "")]).await;
    let seen = run(harness, &id, &["cat", &a, &b]).await;
    assert_result(&seen, 0, "first", "files that are put into a running container are read");
    put(harness, &id, &[file(&b, " second")]).await;
    let seen = run(harness, &id, &["cat", &a, &b]).await;
    assert_result(&seen, 0, "first second", "a file is replaced, and the other one stays");
    harness.remove(&id).await;
}

pub(super) async fn put_links_are_followed(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("links")).await;
    let folder = harness.path("links");
    let at = |path: &str| format!("{folder}/{path}");
    let files = [file(&at("deep/a"), "first"), file(&at("deep/b"), "second")];
    put(harness, &id, &files).await;
    for (target, content) in [("deep/a", "first"), ("deep/b", "second")] {
        put(harness, &id, &[link(&at("live"), target)]).await;
        let seen = run(harness, &id, &["cat", &at("live")]).await;
        assert_result(&seen, 0, content, "a link that is put again has its new target");
    }
    let other = FileEntry::Directory { path: at("other") };
    let files = [other, file(&at("other/d"), "third"), link(&at("other/loop"), ".")];
    put(harness, &id, &files).await;
    put(harness, &id, &[link(&at("linked"), "other")]).await;
    let seen = read(harness, &id, &at("linked")).await;
    assert_eq!(seen, pairs(&[("d", "third")]), "a link is followed, and those in it are left out");
    harness.remove(&id).await;
}

pub(super) async fn put_files_have_their_modes(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("kinds")).await;
    let folder = harness.path("kinds");
    let at = |path: &str| format!("{folder}/{path}");
    let private = FileEntry::PrivateFile { path: at("private"), contents: Bytes::from("x") };
    let files = [file(&at("open"), "x"), private, FileEntry::Directory { path: at("directory") }];
    put(harness, &id, &files).await;
    let script = format!("cd {folder} && ls -ld . open private directory");
    let listed = run(harness, &id, &["sh", "-c", &script]).await;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let expected = ["drwxr-xr-x", "-rw-r--r--", "-rw-------", "drwxr-xr-x"];
    let mut seen = modes_of(&listed);
    seen.sort();
    let mut expected = expected.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(seen, expected, "files have the modes of their kind; seen: {listed}");
    harness.remove(&id).await;
}

/// Returns the modes of files as `ls` shows them, in the order of its lines.
fn modes_of(listed: &str) -> Vec<String> {
    listed.lines().map(|line| line.get(..10).unwrap_or(line).to_owned()).collect()
}

fn file(path: &str, contents: &str) -> FileEntry {
    FileEntry::File { path: path.to_owned(), contents: Bytes::copy_from_slice(contents.as_bytes()) }
}

fn container_file(target: &str, content: &str, mode: &str) -> ContainerFile {
    ContainerFile {
        target: FileTarget::parse(target).expect("a legal target"),
        content: Secret::new(content.to_owned()),
        mode: FileMode::parse(mode).expect("a legal mode"),
        owner: None,
    }
}

fn link(path: &str, target: &str) -> FileEntry {
    FileEntry::Symlink { path: path.to_owned(), target: target.to_owned() }
}
