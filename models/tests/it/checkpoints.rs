//! Runs that are killed, stopped, locked out or out of space, and what of them is left.

use crate::{Folder, g2lstm};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Noise and dropout of every kind, so that nothing that a step depends on goes unnoticed.
const NOISY: [&str; 4] = [
    "--set",
    "gates.noise_p=0.5",
    "--set",
    "model.dropout={ embedding = 0.1, input = 0.1, hidden = 0.1, output = 0.1, weight = 0.2 }",
];

/// A run that would take days.
const ENDLESS: [&str; 2] = ["--set", "train.epochs=1000000"];

impl Folder {
    fn out(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Starts a run in a process of its own.
    fn start(&self, arguments: &[&str]) -> Child {
        let config = self.out("config.toml");
        start(&[&["train", "--config", &config], arguments].concat())
    }
}

fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_g2lstm"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The number of the newest checkpoint.
fn newest(run: &str) -> Option<u64> {
    let names = fs::read_dir(run).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.strip_prefix("checkpoint-")?.parse().ok()).max()
}

/// Waits until there is that checkpoint, or the run has ended.
fn wait_for(child: &mut Child, run: &str, number: u64) {
    while newest(run).is_none_or(|found| found < number) && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_micros(200));
    }
}

#[track_caller]
fn fingerprint(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let line = stdout.lines().find(|line| line.starts_with("fingerprint"));
    line.unwrap_or_else(|| panic!("{stdout}\n{}", String::from_utf8_lossy(&output.stderr))).to_owned()
}

/// The lines of the metrics, without the speed.
fn metrics(run: &str) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(Path::new(run).join("metrics.jsonl")).unwrap();
    let parse = |line: &str| {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("tokens_per_s");
        value
    };
    text.lines().map(parse).collect()
}

#[track_caller]
fn check_error(output: &Output, parts: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn killed_at_any_instant_it_goes_on_bit_for_bit() {
    let folder = Folder::new("killed");
    let (whole, killed) = (folder.out("whole"), folder.out("killed"));
    let each_step = ["--save-every", "0", "--threads", "1"];
    let expected = folder.train(&[&NOISY[..], &each_step, &["--out", &whole]].concat());
    assert_eq!(fingerprint(&expected), fingerprint(&folder.train(&NOISY)), "saving changes nothing");

    let mut child = folder.start(&[&NOISY[..], &each_step, &["--out", &killed]].concat());
    let mut random = 1_u64;
    for kill in 0..25 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let next = newest(&killed).map_or(kill % 2, |number| number + (random >> 40) % 6);
        wait_for(&mut child, &killed, next);
        std::thread::sleep(Duration::from_micros((random >> 33) % 3000));
        child.kill().unwrap();
        child.wait().unwrap();
        child = match newest(&killed) {
            Some(_) => start(&["train", "--resume", &killed, "--save-every", "0", "--threads", "2"]),
            None => folder.start(&[&NOISY[..], &each_step, &["--out", &killed]].concat()),
        };
    }
    let found = child.wait_with_output().unwrap();
    assert_eq!(fingerprint(&found), fingerprint(&expected));
    assert_eq!(metrics(&killed), metrics(&whole));

    let left: Vec<_> = fs::read_dir(&killed).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "lock, metrics, one checkpoint: {left:?}");
    let again = start(&["train", "--resume", &killed]).wait_with_output().unwrap();
    assert_eq!(fingerprint(&again), fingerprint(&expected), "a run that is over stays so");
    assert_eq!(metrics(&killed), metrics(&whole));
}

#[test]
fn metrics_are_lines_of_json() {
    let folder = Folder::new("metrics");
    let run = folder.out("run");
    assert!(folder.train(&["--out", &run]).status.success());
    let lines = metrics(&run);
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    let (train, epochs) = (of("train"), of("epoch"));
    assert_eq!((epochs.len(), of("test").len()), (3, 1));
    assert_eq!(train.last().unwrap()["step"], epochs[2]["step"]);
    let losses: Vec<f64> = train.iter().map(|line| line["loss"].as_f64().unwrap()).collect();
    assert!(losses.last().unwrap() < &losses[0], "{losses:?}");

    // Half a line, as a run leaves it that is killed, goes; and a run goes on without what was there.
    let file = Path::new(&run).join("metrics.jsonl");
    let half = [fs::read(&file).unwrap(), b"{\"event\":".to_vec()].concat();
    fs::write(&file, half).unwrap();
    assert!(g2lstm(&["train", "--resume", &run]).status.success());
    assert_eq!(metrics(&run), lines);
    fs::remove_file(&file).unwrap();
    assert!(g2lstm(&["train", "--resume", &run]).status.success());
    assert_eq!(metrics(&run), lines[lines.len() - 1..]);
}

#[test]
fn signals_save_and_stop() {
    let folder = Folder::new("signals");
    let run = folder.out("run");
    let mut child = folder.start(&[&ENDLESS[..], &["--out", &run]].concat());
    let mut steps = Vec::new();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let before = newest(&run).unwrap_or(0);
        wait_for(&mut child, &run, before + 1);
        assert!(
            Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap().success()
        );
        let output = child.wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{message}");
        assert!(message.contains(&format!("stopped by SIG{signal}")) && message.contains("--resume"), "{message}");
        let step = message.split_once("after ").unwrap().1.split_once(" steps").unwrap().0;
        steps.push(step.parse::<u64>().unwrap());
        child = start(&["train", "--resume", &run]);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(steps[0] < steps[1], "{steps:?}");
}

#[test]
fn a_second_run_in_the_same_folder_is_refused() {
    let folder = Folder::new("lock");
    let run = folder.out("run");
    let mut first = folder.start(&[&ENDLESS[..], &["--out", &run]].concat());
    wait_for(&mut first, &run, 0);
    check_error(&g2lstm(&["train", "--resume", &run]), &[&run, "another run is writing there"]);
    check_error(&folder.train(&["--out", &run]), &[&run, "another run is writing there"]);
    assert!(g2lstm(&["eval", "--checkpoint", &run]).status.success(), "reading is allowed");
    first.kill().unwrap();
    first.wait().unwrap();
    check_error(&folder.train(&["--out", &run]), &[&run, "holds a run already", "--resume"]);
    assert!(newest(&run).is_some());
}

#[test]
fn a_loss_that_is_not_finite_keeps_the_last_checkpoint() {
    let folder = Folder::new("not-finite");
    for (k, (lr, every, parts)) in [
        ("1e38", "60", ["step ", "the first tensor that is not finite: `loss`"]),
        ("1e39", "60", ["step 1: ", "the first tensor that is not finite: parameter `embed`, element 0"]),
        ("1e39", "0", ["after the last step", "parameter `embed`, element 0"]),
    ]
    .into_iter()
    .enumerate()
    {
        let (run, lr) = (folder.out(&format!("run{k}")), format!("train.lr={lr}"));
        let arguments = ["--set", &lr, "--set", "train.clip=inf", "--out", &run, "--save-every", every];
        let output = folder.train(&arguments);
        check_error(&output, &[&parts[..], &["train.lr", &run, "last checkpoint"]].concat());
        let output = g2lstm(&["eval", "--checkpoint", &run]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn no_space_left_keeps_the_last_checkpoint() {
    let folder = Folder::new("space");
    let run = folder.out("run");
    fs::create_dir(&run).unwrap();
    std::os::unix::fs::symlink("/dev/full", Path::new(&run).join("metrics.jsonl")).unwrap();
    check_error(&folder.train(&["--out", &run]), &["metrics.jsonl", "no space left", "last checkpoint"]);
    assert!(g2lstm(&["eval", "--checkpoint", &run]).status.success());

    // A limit on the size of files is as good as a full disk; parameters take more than 4 KiB.
    let run = folder.out("limited");
    let config = folder.out("config.toml");
    let limited = |arguments: &[&str]| {
        let shell = "trap '' XFSZ; ulimit -f 4; exec \"$@\"";
        Command::new("bash").args(["-c", shell, "bash", env!("CARGO_BIN_EXE_g2lstm")]).args(arguments).output().unwrap()
    };
    let output = limited(&["train", "--config", &config, "--out", &run]);
    check_error(&output, &["parameters.safetensors", "no space left"]);
    assert_eq!((newest(&run), partials(&run)), (None, 0));

    let mut child = folder.start(&[&ENDLESS[..], &["--out", &run, "--save-every", "0"]].concat());
    wait_for(&mut child, &run, 3);
    child.kill().unwrap();
    child.wait().unwrap();
    let before = newest(&run).unwrap();
    check_error(
        &limited(&["train", "--resume", &run, "--save-every", "0"]),
        &["parameters.safetensors", "no space left"],
    );
    assert_eq!((newest(&run), partials(&run)), (Some(before), 0));
    assert!(g2lstm(&["eval", "--checkpoint", &run]).status.success());
}

/// What is not finished.
fn partials(run: &str) -> usize {
    let names = fs::read_dir(run).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".partial")).count()
}

#[test]
fn what_cannot_be_resumed_is_named() {
    let folder = Folder::new("resume");
    check_error(&g2lstm(&["train", "--resume", "/no/such/run"]), &["/no/such/run", "no such folder", "--out"]);
    let empty = folder.out("empty");
    fs::create_dir(&empty).unwrap();
    check_error(&g2lstm(&["train", "--resume", &empty]), &[&empty, "holds no checkpoint", "--config"]);
    check_error(&g2lstm(&["eval", "--checkpoint", &empty]), &[&empty, "holds no checkpoint"]);
    let file = folder.out("config.toml");
    check_error(&folder.train(&["--out", &file]), &[&file]);

    let run = folder.out("run");
    assert!(folder.train(&["--out", &run, "--set", "train.epochs=1"]).status.success());
    folder.write("train.txt", "the cat sat on the mat\nthe dog sat on the mat\n".repeat(60));
    check_error(&g2lstm(&["train", "--resume", &run]), &["training text", "data.dir", "restore"]);
}

#[test]
fn eval_finds_what_training_found() {
    let folder = Folder::new("eval");
    let run = folder.out("run");
    let trained = String::from_utf8(folder.train(&["--out", &run]).stdout).unwrap();
    let test = trained.lines().find(|line| line.starts_with("test perplexity")).unwrap();
    let eval = |arguments: &[&str]| {
        let output = g2lstm(&[&["eval", "--checkpoint", &run], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let found = eval(&["--split", "test"]);
    assert!(found.starts_with(&format!("{test}, ")), "{found} {test}");
    assert!(eval(&[]).starts_with("valid perplexity "));
    let json: serde_json::Value = serde_json::from_str(&eval(&["--json", "--split", "test"])).unwrap();
    assert_eq!((json["tokens"].as_u64(), &json["split"]), (Some(69), &"test".into()));

    let moved = PathBuf::from(folder.out("moved"));
    fs::create_dir(&moved).unwrap();
    fs::rename(folder.0.join("test.txt"), moved.join("test.txt")).unwrap();
    check_error(&g2lstm(&["eval", "--checkpoint", &run, "--split", "test"]), &["test.txt"]);
    assert_eq!(found, eval(&["--split", "test", "--data", moved.to_str().unwrap()]));
}
