use std::net::Ipv4Addr;

use super::*;

const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
                    uid  timeout inode                                                     \n";

fn line(local: &str, (remote, port): (Ipv4Addr, u16), state: &str, inode: u64) -> String {
    let remote = u32::from_ne_bytes(remote.octets());
    format!(
        "   1: 0200590A:{local} {remote:08X}:{port:04X} {state} 00000000:00000000 00:00000000 \
         00000000 65534        0 {inode} 1 0000000061ae9e95 20 4 30 10 -1\n"
    )
}

const REPLICA: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 89, 0, 5), 80);
const CLIENT: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 89, 0, 1), 80);

#[test]
fn only_open_connections_reach_an_endpoint() {
    for (state, expected) in
        [("01", true), ("02", true), ("08", true), ("06", false), ("05", false), ("0A", false)]
    {
        let text = format!("{HEAD}{}", line("C350", REPLICA, state, 7));
        let snapshot = WorkerSnapshot::parse(&text).unwrap();
        assert_eq!(!snapshot.drained(REPLICA.into()).is_yes(), expected, "{state}");
        assert!(snapshot.drained(CLIENT.into()).is_yes(), "{state}");
        let other_port = (REPLICA.0, 81);
        assert_eq!(!snapshot.drained(other_port.into()).is_yes(), expected, "{state}");
    }
}

#[test]
fn client_of_nginx_that_is_a_replica_is_no_request_to_it() {
    let text = format!("{HEAD}{}", line("0050", (REPLICA.0, 40000), "01", 7));
    assert!(WorkerSnapshot::parse(&text).unwrap().drained(REPLICA.into()).is_yes());
}

#[test]
fn lost_output_is_no_exit_of_workers() {
    assert!(require_all(0, 2, 2).is_ok());
    assert!(require_all(0, 1, 2).is_err());
    // One has exited in the meantime.
    assert!(require_all(1, 1, 2).is_ok());
}

#[test]
fn missing_table_is_not_parsed_as_an_empty_one() {
    assert!(WorkerSnapshot::parse("12 13 ").is_none());
}

#[test]
fn children_precede_the_table_or_are_missing() {
    let snapshot = WorkerSnapshot::parse(&format!("12 345 {HEAD}")).unwrap();
    assert_eq!(snapshot.children, [12, 345]);
    assert!(snapshot.connections.is_empty());
    assert!(WorkerSnapshot::parse(HEAD).unwrap().children.is_empty());
}

#[test]
fn idle_client_awaits_request_and_websocket_does_not() {
    let mut text = HEAD.to_owned();
    // Two websockets, a client that has sent nothing yet, and a query of the generation.
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
    let snapshot = WorkerSnapshot::parse(&text).unwrap();
    assert!(!snapshot.awaits_request(&BTreeSet::from([1, 2, 3, 4, 6])));
    assert!(snapshot.awaits_request(&BTreeSet::from([1, 2, 5, 6])));
    assert!(!snapshot.awaits_request(&BTreeSet::from([6, 99])));
}

#[test]
fn clients_of_names_are_not_requests() {
    let name =
        |port, remote, inode| line(port, remote, "01", inode).replace("0200590A", "0702590A");
    // A connection to a database through nginx, and an idle client of another name.
    let text = [name("1538", CLIENT, 1), line("C350", REPLICA, "01", 2), name("1F90", CLIENT, 3)];
    let mut snapshot = WorkerSnapshot::parse(&(HEAD.to_owned() + &text.concat())).unwrap();
    snapshot.address = Some(IpAddr::from([10, 89, 0, 2]));
    assert!(!snapshot.awaits_request(&BTreeSet::from([1, 2])));
    assert!(snapshot.awaits_request(&BTreeSet::from([1, 2, 3])));
}

#[test]
fn old_workers_and_their_sockets_are_parsed() {
    let status = |pid: u32, state: &str| {
        let state = format!("Name:\tnginx\nState:\t{state}\nPid:\t{pid}\nPPid:\t1\n");
        state + "Uid:\t101\t101\t101\n"
    };
    let worker = |pid, is_stopped| OldWorker { pid, user: 101, is_stopped };
    let text = status(20, "S (sleeping)") + &status(31, "T (stopped)");
    assert_eq!(parse_old_workers(&text), [worker(20, false), worker(31, true)]);
    let listed = "/proc/20/fd:\ntotal 0\n\
        lrwx------ 1 nginx nginx 64 Nov 26 13:24 3 -> socket:[36391]\n\
        lrwx------ 1 nginx nginx 64 Nov 26 13:24 10 -> anon_inode:[eventpoll]\n\n\
        /proc/self/fd:\ntotal 0\nlrwx------ 1 nginx nginx 64 Nov 26 13:24 4 -> socket:[1]\n";
    let expected = SocketsByPid::from([(20, BTreeSet::from([36391]))]);
    assert_eq!(parse_sockets_by_pid(listed), expected);
}

#[test]
fn excess_is_old_workers_with_fewest_connections_oldest_first() {
    let mut snapshot = WorkerSnapshot::parse(&format!("9 8 7 {HEAD}")).unwrap();
    assert!(snapshot.excess().is_empty());
    snapshot.old_workers = (100..100 + u32::try_from(MAX_OLD_WORKERS).unwrap())
        .map(|pid| (pid, BTreeSet::from([1, 2])))
        .chain([(9, BTreeSet::from([3, 4, 5])), (8, BTreeSet::from([6])), (7, BTreeSet::from([7]))])
        .collect();
    assert_eq!(snapshot.excess(), [8, 7, 100]);
    snapshot.old_workers.remove(&100);
    assert_eq!(snapshot.excess(), [8, 7]);
}

#[test]
fn stopped_old_worker_may_reach_every_address() {
    let listener = line("0050", (Ipv4Addr::UNSPECIFIED, 80), "0A", 9);
    let mut snapshot = WorkerSnapshot::parse(&format!("20 30 31 {HEAD}{listener}")).unwrap();
    assert_eq!(snapshot.old_children(), [20]);
    snapshot.old_workers = SocketsByPid::from([(20, BTreeSet::from([9]))]);
    let held_by = |snapshot: &WorkerSnapshot| match snapshot.drained(REPLICA.into()) {
        Drained::No { held_by } => held_by.unwrap(),
        Drained::Yes => panic!("it still listens"),
    };
    assert_eq!(held_by(&snapshot), "nginx worker 20 has not ended: it still takes requests");
    snapshot.stopped = BTreeSet::from([20]);
    let stopped = "nginx worker 20 has not ended: it is stopped (`kill -STOP`)";
    assert_eq!(held_by(&snapshot), stopped);
    snapshot.old_workers = SocketsByPid::from([(20, BTreeSet::from([8]))]);
    assert!(snapshot.drained(REPLICA.into()).is_yes());
}

#[test]
fn workers_are_counted_by_their_parent() {
    let process =
        |pid: u32, parent: u32, command: &str| Process { pid, parent, command: command.to_owned() };
    let mut processes = vec![
        process(10, 1, "/sbin/docker-init -- nginx"),
        process(11, 10, "nginx: master process nginx"),
        process(12, 11, "nginx: worker process"),
        process(13, 11, "nginx: worker process"),
        process(14, 1, "nginx -T -c x"),
    ];
    assert!(has_no_old_worker(&processes));
    processes.push(process(15, 11, "nginx: worker process"));
    assert!(!has_no_old_worker(&processes));
    assert!(!has_no_old_worker(&processes[2..]), "without the master nothing is known");
}
