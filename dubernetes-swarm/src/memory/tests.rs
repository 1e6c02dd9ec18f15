use dubernetes_core::error::SharedError;
use dubernetes_core::runtime::{ContainerState, ImageId};
use jiff::Timestamp;

use super::*;

fn container(name: &str, address: u8) -> Container {
    let labels = [(ADDRESS, format!("10.9.0.{address}")), (APP, "web".to_owned())];
    Container {
        id: ContainerId(format!("id-{name}").into()),
        name: name.to_owned(),
        image_id: ImageId("sha256:0".into()),
        labels: labels.map(|(key, value)| (key.to_owned(), value)).into(),
        state: ContainerState::Running { started_at: Timestamp::UNIX_EPOCH },
        created_at: Timestamp::UNIX_EPOCH,
        endpoint: None,
        limits: None,
    }
}

fn asked(node: &str, answer: Answer) -> Asked {
    let (is_entry, is_drained) = (node == "a", node == "drained");
    Asked { node: node.to_owned(), is_entry, is_drained, answer }
}

fn silent() -> Answer {
    let cause = SharedError::text("no answer");
    Answer::Silent(RuntimeError::Unreachable { endpoint: "b".to_owned(), cause })
}

fn merge(memory: &Memory, asked: Vec<Asked>) -> Result<Vec<String>, String> {
    let merged = memory.merge(&InstanceName::default(), asked);
    let names = merged.map(|all| all.into_iter().map(|found| found.name).collect());
    names.map_err(|error| error.to_string())
}

fn two_nodes(memory: &Memory) {
    let b = vec![container("web-2", 17)];
    let a = vec![container("web-3", 18), container("web-1", 16)];
    let both = vec![asked("a", Answer::Listed(a)), asked("b", Answer::Listed(b))];
    assert_eq!(merge(memory, both).unwrap(), ["web-1", "web-2", "web-3"]);
}

#[test]
fn silent_node_counts_as_last_seen() {
    let memory = Memory::default();
    two_nodes(&memory);
    for _ in 0..2 {
        let listed = asked("a", Answer::Listed(vec![container("web-1", 16)]));
        let names = merge(&memory, vec![listed, asked("b", silent())]);
        assert_eq!(names.unwrap(), ["web-1", "web-2"]);
    }
    assert!(memory.held(&InstanceName::default()).is_empty());
}

#[test]
fn silent_node_that_was_never_seen_is_an_error_and_the_others_are_remembered() {
    let memory = Memory::default();
    let listed = asked("a", Answer::Listed(vec![container("web-1", 16)]));
    let error = merge(&memory, vec![listed, asked("b", silent())]).unwrap_err();
    assert!(error.contains("does not answer"), "{error}");
    assert_eq!(memory.place(&ContainerId("id-web-1".into())).as_deref(), Some("a"));
}

#[test]
fn containers_of_a_node_that_is_down_are_gone_and_hold_their_addresses_until_it_is_back() {
    let memory = Memory::default();
    let instance = InstanceName::default();
    two_nodes(&memory);
    let a = || asked("a", Answer::Listed(vec![container("web-1", 16)]));
    for _ in 0..2 {
        assert_eq!(merge(&memory, vec![a(), asked("b", Answer::Down)]).unwrap(), ["web-1"]);
        assert_eq!(memory.held(&instance), BTreeSet::from([[10, 9, 0, 17].into()]));
    }
    assert_eq!(merge(&memory, vec![a(), asked("b", silent())]).unwrap(), ["web-1"]);
    let back = asked("b", Answer::Listed(vec![container("web-2", 17)]));
    assert_eq!(merge(&memory, vec![a(), back]).unwrap(), ["web-1", "web-2"]);
    assert!(memory.held(&instance).is_empty());
    // A node that left the swarm.
    assert_eq!(merge(&memory, vec![a()]).unwrap(), ["web-1"]);
    assert_eq!(merge(&memory, vec![a(), asked("b", Answer::Down)]).unwrap(), ["web-1"]);
    assert!(memory.held(&instance).is_empty());
}

#[test]
fn containers_of_a_drained_node_move_unless_they_are_bound() {
    let memory = Memory::default();
    let mut bound = container("db-1", 16);
    bound.labels.insert(BOUND.to_owned(), "true".to_owned());
    let list = vec![bound, container("web-1", 17)];
    let other = asked("a", Answer::Listed(vec![container("web-2", 18)]));
    let _ = merge(&memory, vec![asked("drained", Answer::Listed(list)), other]);
    assert_eq!(memory.leaving(), BTreeSet::from([ContainerId("id-web-1".into())]));
}

#[tokio::test(start_paused = true)]
async fn containers_in_creation_count_and_their_names_are_taken() {
    let memory = Memory::default();
    let instance = InstanceName::default();
    two_nodes(&memory);
    let group = |app: &str, revision: Option<&str>| {
        Some(OfRevision { app: app.to_owned(), revision: revision.map(str::to_owned) })
    };
    let count = |node: &str| {
        let web = group("web", None);
        memory.lock().count(Some(&instance), node, web.as_ref())
    };
    let reserve = |name: &str, app: Option<&str>, node: &str| {
        let choose = |_: &[Candidate]| Ok::<_, ()>(node.to_owned());
        let group = app.and_then(|app| group(app, None));
        memory.reserve(Some(&instance), group, name, &mut [], choose).unwrap()
    };
    let other = group("web", Some("2"));
    assert_eq!(memory.lock().count(Some(&instance), "a", other.as_ref()), (0, 2));
    assert_eq!((count("a"), count("b"), count("c")), ((2, 2), (1, 1), (0, 0)));
    let first = reserve("web-4", Some("web"), "c").unwrap();
    assert!(reserve("web-4", Some("web"), "a").is_none());
    assert_eq!(count("c"), (1, 1));
    drop(first);
    assert_eq!(count("c"), (0, 0), "it failed");
    let id = ContainerId("id-web-4".into());
    reserve("web-4", Some("web"), "c").unwrap().created(&id);
    assert_eq!(count("c"), (1, 1));
    assert_eq!(memory.place(&id).as_deref(), Some("c"));
    let listed = asked("c", Answer::Listed(vec![container("web-4", 19)]));
    let _ = merge(&memory, vec![listed]);
    assert_eq!(count("c"), (1, 1), "it is not counted twice");
    reserve("web-5", None, "c").unwrap().created(&id);
    tokio::time::advance(CREATED_FOR).await;
    let _ = merge(&memory, Vec::new());
    assert_eq!(count("c"), (0, 0), "it was removed before any list");
}

#[tokio::test(start_paused = true)]
async fn refused_address_is_held_for_a_while() {
    let memory = Memory::default();
    let instance = InstanceName::default();
    memory.refuse([10, 9, 0, 20].into());
    assert_eq!(memory.held(&instance).len(), 1);
    tokio::time::advance(REFUSED_FOR).await;
    let _ = merge(&memory, Vec::new());
    assert!(memory.held(&instance).is_empty());
}

#[test]
fn ingress_of_a_former_entry_leaves_and_is_gone_while_its_node_is_silent() {
    let memory = Memory::default();
    let instance = InstanceName::default();
    let mut ingress = container("ingress", 2);
    ingress.labels = [(COMPONENT, INGRESS.to_owned()), (ADDRESS, "10.9.0.2".to_owned())]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
    let a = || asked("a", Answer::Listed(Vec::new()));
    let b = vec![ingress.clone(), container("web-1", 16)];
    let listed = merge(&memory, vec![a(), asked("b", Answer::Listed(b))]).unwrap();
    assert_eq!(listed, ["ingress", "web-1"]);
    assert_eq!(memory.leaving(), BTreeSet::from([ingress.id.clone()]));
    assert!(memory.held(&instance).is_empty());
    assert_eq!(merge(&memory, vec![a(), asked("b", silent())]).unwrap(), ["web-1"]);
    assert_eq!(memory.held(&instance), BTreeSet::from([[10, 9, 0, 2].into()]));
    // The entry's own one stays.
    let own = asked("a", Answer::Listed(vec![ingress]));
    assert_eq!(merge(&memory, vec![own]).unwrap(), ["ingress"]);
    assert!(memory.leaving().is_empty() && memory.held(&instance).is_empty());
}
