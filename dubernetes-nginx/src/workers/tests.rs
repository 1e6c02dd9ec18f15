use super::*;

const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
                    uid  timeout inode                                                     \n";

fn line(local: &str, remote: Ipv4Addr, state: &str, inode: u64) -> String {
    let remote = u32::from_ne_bytes(remote.octets());
    format!(
        "   1: 0200590A:{local} {remote:08X}:0050 {state} 00000000:00000000 00:00000000 00000000 \
         65534        0 {inode} 1 0000000061ae9e95 20 4 30 10 -1\n"
    )
}

const REPLICA: Ipv4Addr = Ipv4Addr::new(10, 89, 0, 5);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 89, 0, 1);

#[test]
fn only_connections_in_use_count() {
    for (state, expected) in
        [("01", true), ("02", true), ("08", true), ("06", false), ("05", false), ("0A", false)]
    {
        let look = Look::read(&format!("{HEAD}{}", line("C350", REPLICA, state, 7))).unwrap();
        let seen = look.connections.first();
        let wanted = Connection { local_port: 0xC350, remote: REPLICA, inode: 7 };
        assert_eq!(seen, expected.then_some(&wanted), "{state}");
    }
    assert!(Look::read("12 13 ").is_none(), "no table is no empty table");
}

#[test]
fn children_come_before_the_table_or_are_missing() {
    let look = Look::read(&format!("12 345 {HEAD}")).unwrap();
    assert_eq!(look.children, [12, 345]);
    assert!(look.connections.is_empty());
    assert!(Look::read(HEAD).unwrap().children.is_empty());
}

#[test]
fn a_client_without_a_request_is_told_from_a_websocket() {
    let mut text = HEAD.to_owned();
    // Two websockets, a client that has sent nothing yet, and a question for the generation.
    for (inode, local, remote) in [
        (1, "0050", CLIENT),
        (2, "C350", REPLICA),
        (3, "0050", CLIENT),
        (4, "C351", REPLICA),
        (5, "0050", CLIENT),
        (6, "1F8F", CLIENT),
    ] {
        text.push_str(&line(local, remote, "01", inode));
    }
    let look = Look::read(&text).unwrap();
    assert!(!look.awaits_a_request(&BTreeSet::from([1, 2, 3, 4, 6])));
    assert!(look.awaits_a_request(&BTreeSet::from([1, 2, 5, 6])));
    assert!(!look.awaits_a_request(&BTreeSet::from([6, 99])));
}

#[test]
fn older_workers_and_their_sockets_are_read() {
    let status = |pid: u32| format!("Name:\tnginx\nPid:\t{pid}\nPPid:\t1\nUid:\t101\t101\t101\n");
    let said = format!(
        "{}nginx: worker process is shutting down\0\0{}nginx: worker process\0",
        status(20),
        status(31)
    );
    assert_eq!(old_workers(&said), [(20, 101)]);
    let listed = "/proc/20/fd:\ntotal 0\n\
        lrwx------ 1 nginx nginx 64 Nov 26 13:24 3 -> socket:[36391]\n\
        lrwx------ 1 nginx nginx 64 Nov 26 13:24 10 -> anon_inode:[eventpoll]\n\n\
        /proc/self/fd:\ntotal 0\nlrwx------ 1 nginx nginx 64 Nov 26 13:24 4 -> socket:[1]\n";
    assert_eq!(sockets_by_process(listed), Sockets::from([(20, BTreeSet::from([36391]))]));
}

#[test]
fn too_many_older_workers_are_those_with_the_fewest_connections_and_of_these_the_oldest() {
    let mut look = Look::read(&format!("9 8 7 {HEAD}")).unwrap();
    assert!(look.excess().is_empty());
    look.old = (100..100 + u32::try_from(OLD_WORKERS).unwrap())
        .map(|pid| (pid, BTreeSet::from([1, 2])))
        .chain([(9, BTreeSet::from([3, 4, 5])), (8, BTreeSet::from([6])), (7, BTreeSet::from([7]))])
        .collect();
    assert_eq!(look.excess(), [8, 7, 100]);
    look.old.remove(&100);
    assert_eq!(look.excess(), [8, 7]);
}
