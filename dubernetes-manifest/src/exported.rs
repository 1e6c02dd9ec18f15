//! Apps as `dubernetes get -o yaml` and `-o json` print them: a specification between values that
//! the orchestrator adds. Only the specification is read, so that an export can be applied again.

use super::node::{Entry, Node, Value};

/// Returns the specifications in `root`: those of an exported app or list of apps, else `root`.
pub(super) fn specifications(root: Node) -> Vec<Node> {
    let Value::Map(entries) = &root.value else { return vec![root] };
    if let Some(Value::List(apps)) = find(entries, "items").map(|items| &items.value) {
        let specs: Option<Vec<Node>> = apps.iter().map(exported_spec).collect();
        if let Some(specs) = specs.filter(|specs| !specs.is_empty()) {
            return specs;
        }
    }
    vec![exported_spec(&root).unwrap_or(root)]
}

/// Returns the specification of an exported app. No manifest has these three keys together.
fn exported_spec(app: &Node) -> Option<Node> {
    let Value::Map(entries) = &app.value else { return None };
    let all = ["generation", "status", "spec"].map(|key| find(entries, key));
    let [Some(_), Some(_), Some(spec)] = all else { return None };
    matches!(spec.value, Value::Map(_)).then(|| spec.clone())
}

fn find<'n>(entries: &'n [Entry], key: &str) -> Option<&'n Node> {
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
}
