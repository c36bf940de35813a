//! Runs the program as a user does.

#[cfg(unix)]
mod checkpoints;
mod damage;
mod torch;

mod show;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder of its own for a test, holding `config.toml` and a text that is easy to learn.
struct Folder(PathBuf);

const CONFIG: &str = r#"
[data]
dir = "."
level = "word"

[model]
layers = 2
embedding = 8
hidden = 12
init = 0.5

[gates]
training = "gumbel"

[train]
epochs = 3
batch = 4
steps = 5
lr = 3.0
clip = 1.0
seed = 3
"#;

impl Folder {
    fn new(test: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        let folder = Folder(path);
        folder.write("config.toml", CONFIG);
        for (part, times) in [("train", 60), ("valid", 7), ("test", 5)] {
            folder.write(&format!("{part}.txt"), "the cat sat on the mat\nthe dog sat on the cat\n".repeat(times));
        }
        folder
    }

    fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        fs::write(self.0.join(file), content).unwrap();
    }

    fn train(&self, arguments: &[&str]) -> Output {
        g2lstm(&[&["train", "--config", self.0.join("config.toml").to_str().unwrap()], arguments].concat())
    }

    /// What a training run printed, without the speed, which is different each time.
    #[track_caller]
    fn trained(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.train(arguments);
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        let lines = String::from_utf8(stdout).unwrap();
        let without_speed = |line: &str| match line.split_once("  valid perplexity ") {
            Some((before, after)) => format!("{before}  {}", after.split_whitespace().next().unwrap()),
            None => line.to_owned(),
        };
        lines.lines().map(without_speed).collect::<Vec<_>>().join("\n")
    }

    #[track_caller]
    fn check_error(&self, arguments: &[&str], parts: &[&str]) {
        let Output { status, stdout: _, stderr } = self.train(arguments);
        let message = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(1), "{message}");
        assert!(!message.contains("panicked"), "{message}");
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    }
}

fn g2lstm(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_g2lstm")).args(arguments).output().unwrap()
}

/// The validation perplexities of a training run, as [`Folder::trained`] gives it.
fn valid_perplexities(trained: &str) -> Vec<f64> {
    let epochs = trained.lines().filter(|line| line.starts_with("epoch"));
    epochs.map(|line| line.split_whitespace().next_back().unwrap().parse().unwrap()).collect()
}

#[test]
fn training_lowers_perplexity() {
    let folder = Folder::new("lowers");
    for training in ["baseline", "sharpened", "gumbel"] {
        for tie in ["false", "true"] {
            let training = format!("gates.training={training}");
            let trained = folder.trained(&["--set", &training, "--set", &format!("model.tie={tie}")]);
            let valid = valid_perplexities(&trained);
            assert_eq!(valid.len(), 3, "{trained}");
            assert!(valid[2] < 0.9 * valid[0] && valid[2] < 3.0 && valid[2] > 1.0, "{trained}");
            assert!(trained.contains("test perplexity "), "{trained}");
        }
    }
}

#[test]
fn the_released_codes_noise_and_all_dropouts_train() {
    let folder = Folder::new("released");
    let changes = [
        "gates.noise_p=0.2",
        "model.dropout={ embedding = 0.1, input = 0.1, hidden = 0.1, output = 0.1, weight = 0.2 }",
        "train.decay={ after = 1, factor = 0.5 }",
    ];
    let arguments: Vec<&str> = changes.iter().flat_map(|&change| ["--set", change]).collect();
    let trained = folder.trained(&arguments);
    let valid = valid_perplexities(&trained);
    assert!(valid[2] < 0.9 * valid[0], "{trained}");
    assert!(trained.contains("lr 0.75"), "{trained}");
}

#[test]
fn a_seed_gives_the_same_bits_whatever_the_threads() {
    let folder = Folder::new("bits");
    let one = folder.trained(&["--threads", "1"]);
    assert!(one.contains("fingerprint"), "{one}");
    assert_eq!(one, folder.trained(&["--threads", "1"]));
    assert_eq!(one, folder.trained(&["--threads", "2"]));
    assert_ne!(one, folder.trained(&["--threads", "1", "--set", "train.seed=4"]));
}

#[test]
fn characters_and_the_names_of_the_penn_treebank_are_read() {
    let folder = Folder::new("names");
    for part in ["train", "valid", "test"] {
        fs::rename(folder.0.join(format!("{part}.txt")), folder.0.join(format!("ptb.{part}.txt"))).unwrap();
    }
    let trained = folder.trained(&["--set", "data.level=char", "--set", "train.epochs=1"]);
    assert_eq!(valid_perplexities(&trained).len(), 1, "{trained}");
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    let folder = Folder::new("configuration");
    folder.check_error(&["--set", "train.epoch=1"], &["config.toml", "epoch", "`epochs`"]);
    folder.check_error(&["--set", "train.lr"], &["--set train.lr", "key=value"]);
    folder.check_error(&["--set", "gates.tau=-1"], &["gates.tau = -1"]);
    folder.check_error(&["--set", "train.batch=5000"], &["train.batch = 5000", "train.steps = 5", "smaller"]);
    folder.write("config.toml", "data = 1\nmodel = {");
    folder.check_error(&[], &["config.toml", "line 2"]);
    fs::remove_file(folder.0.join("config.toml")).unwrap();
    folder.check_error(&[], &["--config", "config.toml"]);
}

#[test]
fn mistakes_in_the_text_are_named() {
    let folder = Folder::new("text");
    folder.check_error(&["--set", "data.dir=/no/such/folder"], &["data.dir", "/no/such/folder"]);
    folder.write("valid.txt", "the cat\nthe zebra\n");
    folder.check_error(&[], &["valid.txt, line 2", "\"zebra\"", "<unk>"]);
    folder.write("valid.txt", b"the cat\nthe \xff\n");
    folder.check_error(&[], &["valid.txt, line 2", "UTF-8"]);
    folder.write("valid.txt", "");
    folder.check_error(&[], &["valid.txt", "empty"]);
    fs::remove_file(folder.0.join("valid.txt")).unwrap();
    folder.check_error(&[], &["valid.txt"]);
    fs::remove_file(folder.0.join("train.txt")).unwrap();
    folder.check_error(&[], &["data.dir", "train.txt"]);
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run() {
    let folder = Folder::new("finite");
    folder.check_error(&["--set", "train.lr=1e38", "--set", "train.clip=inf"], &["step ", "train.lr"]);
}
