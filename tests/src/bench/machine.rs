//! The machine, the commit, and what else runs.

use std::process::Command;
use std::time::Duration;

use reqwest::Method;

use super::engine::Engine;

/// Time for which other work is measured.
const WINDOW: Duration = Duration::from_secs(3);

/// Returns how many processors are busy now.
pub(super) async fn busy_processors() -> f64 {
    let before = processor_ticks();
    tokio::time::sleep(WINDOW).await;
    let after = processor_ticks();
    let (busy, all) = (after.0 - before.0, after.1 - before.1);
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let busy = busy / all.max(1.0) * f64::from(u32::try_from(processors).unwrap());
    (busy * 100.0).round() / 100.0
}

/// Returns the ticks in which the processors were busy, and all ticks, since the machine started.
fn processor_ticks() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = first.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal
    let all: f64 = ticks.iter().take(8).sum();
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    (all - idle, all)
}

/// Returns processor, memory, kernel and engine in one line.
pub(super) async fn describe(engine: &Engine) -> String {
    let info = engine.call(Method::GET, "/info", None).await;
    let text = |key: &str| info[key].as_str().unwrap_or_default().to_owned();
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": ")).map_or("processor", |(_, name)| name);
    let half = 1 << 29;
    let gib = (info["MemTotal"].as_u64().unwrap_or_default() + half) >> 30;
    format!(
        "{} × {model}, {gib} GiB, Linux {}, Docker {} on {}",
        info["NCPU"],
        text("KernelVersion"),
        text("ServerVersion"),
        text("Driver"),
    )
}

/// Returns the commit of the checkout, and whether it has changes besides results.
pub(super) fn commit() -> String {
    let git = |arguments: &[&str]| {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let output = Command::new("git").args(["-C", root]).args(arguments).output();
        let output = output.map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).trim().to_owned()
    };
    let commit = git(&["rev-parse", "--short", "HEAD"]);
    let changes = git(&["status", "--porcelain", "--", ".", ":!docs/performance"]);
    if changes.is_empty() { commit } else { format!("{commit} with changes") }
}
