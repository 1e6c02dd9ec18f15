//! Files that are put into containers, at their creation and later.

use std::collections::BTreeMap;

use bytes::Bytes;

use dubernetes_core::app::{FileMode, FileTarget, Secret};
use dubernetes_core::runtime::{ContainerFile, ContainerState, FileEntry};

use super::commands::{assert_result, run};
use super::harness::{
    ContractHarness, is_name_taken, is_not_found, is_running, missing, must, must_fail, words,
};

pub(super) async fn put_needs_a_container(harness: &ContractHarness<'_>) {
    let put = harness.files().put(&missing(), &[file("/x", "x")]).await;
    must_fail("files for a missing container are `not found`", put, is_not_found);
    let id = harness.create(&harness.request("files")).await;
    let files = [file("/etc/contract/deep/a.txt", "a"), file("/b.txt", "b")];
    must("put files into a created container", harness.files().put(&id, &files).await);
    must("put the same files again", harness.files().put(&id, &files).await);
    must("put no file", harness.files().put(&id, &[]).await);
    // Without a process in the container.
    let read = must("read a directory", harness.files().read(&id, "/etc/contract").await);
    assert_eq!(read, BTreeMap::from([("deep/a.txt".to_owned(), Bytes::from("a"))]));
    for directory in ["/etc/nothing", "/etc/contract/nothing"] {
        let read = harness.files().read(&id, directory).await;
        must_fail("a missing directory is `not found`", read, is_not_found);
    }
    let read = harness.files().read(&missing(), "/etc/contract").await;
    must_fail("a directory of a missing container is `not found`", read, is_not_found);
    let state = harness.inspect(&id).await.state;
    assert_eq!(state, ContainerState::Created, "putting files starts nothing");
    harness.remove(&id).await;
}

pub(super) async fn create_with_files_is_whole(harness: &ContractHarness<'_>) {
    let mut request = harness.request("with-files");
    request.files = vec![container_file("/etc/contract/new/a.conf", "a", "0644")];
    let id = harness.create(&request).await;
    let created = harness.inspect(&id).await;
    assert_eq!(created.state, ContainerState::Created, "files are put before the start");
    assert_eq!(created.name, request.name, "the name is that of the request");
    let again = harness.runtime.create(&request).await;
    must_fail("a name is given once, also with files", again, is_name_taken);
    let listed = harness.list().await;
    assert_eq!(listed, [created], "a refused create leaves nothing");
    harness.remove(&id).await;
}

pub(super) async fn files_and_secrets_exist_at_start(harness: &ContractHarness<'_>) {
    let mut request = harness.request("first-files");
    // The main process itself reads the files, so files that arrive late fail the check.
    request.command = words(&["sh", "-c", "cat /etc/contract/a /root/b >/all; exec sleep 86400"]);
    request.files = vec![
        container_file("/etc/contract/a", "canary-4711", "0644"),
        container_file("/root/b", "second\n", "0400"),
    ];
    request.secret_env.insert("SECRET".into(), Secret::new("a=\"b\"\nc"));
    let id = harness.start(&request).await;
    let script = "while [ ! -s /all ]; do sleep 0.1; done; cat /all; printf %s \"$SECRET\"";
    let read = run(harness, &id, &["sh", "-c", script]).await;
    assert_result(&read, 0, "canary-4711second\na=\"b\"\nc", "files and secrets are as requested");
    let paths = ["/etc/contract", "/etc/contract/a", "/root/b"];
    let modes = modes(harness, &id, &paths).await;
    assert_eq!(modes, ["drwxr-xr-x", "-rw-r--r--", "-r--------"], "files have their modes");
    harness.remove(&id).await;
}

pub(super) async fn put_files_are_readable(harness: &ContractHarness<'_>) {
    let id = harness.create(&harness.request("read-back")).await;
    let files =
        [file("/etc/contract/deep/a.txt", "first"), link("/etc/contract/live", "deep/a.txt")];
    must("put files into a created container", harness.files().put(&id, &files).await);
    must("start a container", harness.runtime.start(&id).await);
    harness.wait_for(&id, "is running", is_running).await;
    let read = run(harness, &id, &["cat", "/etc/contract/live"]).await;
    assert_result(&read, 0, "first", "a file and a link put before the start exist");
    let files = [
        file("/etc/contract/deep/b.txt", "second"),
        link("/etc/contract/live", "deep/b.txt"),
        file("/tmp/new/folder/c.txt", ""),
    ];
    must("put files into a running container", harness.files().put(&id, &files).await);
    let linked = [
        FileEntry::Directory { path: "/etc/contract/other".to_owned() },
        file("/etc/contract/other/d.txt", "third"),
        link("/etc/contract/other/loop", "."),
        link("/etc/contract/linked", "other"),
    ];
    must("put a directory that is declared", harness.files().put(&id, &linked).await);
    let read = must("read by a link", harness.files().read(&id, "/etc/contract/linked").await);
    assert_eq!(read, BTreeMap::from([("d.txt".to_owned(), Bytes::from("third"))]));
    let read = run(harness, &id, &["cat", "/etc/contract/live", "/tmp/new/folder/c.txt"]).await;
    assert_result(&read, 0, "second", "a link that is put again has its new target");
    let kept = run(harness, &id, &["cat", "/etc/contract/deep/a.txt"]).await;
    assert_result(&kept, 0, "first", "other files stay");
    let modes = modes(harness, &id, &["/tmp/new", "/tmp/new/folder/c.txt"]).await;
    assert_eq!(modes, ["drwxr-xr-x", "-rw-r--r--"], "files that were put are readable by all");
    harness.remove(&id).await;
}

/// Returns the modes of files as `ls` shows them.
async fn modes(
    harness: &ContractHarness<'_>,
    id: &dubernetes_core::runtime::ContainerId,
    paths: &[&str],
) -> Vec<String> {
    let listed = run(harness, id, &[&["ls", "-ld"], paths].concat()).await;
    let text = String::from_utf8_lossy(&listed.stdout);
    text.lines().map(|line| line.get(..10).unwrap_or(line).to_owned()).collect()
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
