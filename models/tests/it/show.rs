//! What is shown of a trained model: figures and text.

use crate::tools::{check_error, printed};
use crate::{Folder, g2lstm};
use std::fs;

/// A trained run of two layers, and its folder.
fn run(test: &str, changes: &[&str]) -> (Folder, String) {
    let folder = Folder::new(test);
    let out = folder.0.join("run").to_str().unwrap().to_owned();
    folder.trained(&[&["--out", &out], changes].concat());
    (folder, out)
}

#[test]
fn gates_of_a_run_are_shown_on_one_page_that_needs_nothing_else() {
    let (folder, run) = run("gates", &[]);
    let page = folder.0.join("page.html");
    let page = page.to_str().unwrap();
    let text = printed(&["gates", "--checkpoint", &run, "--out", page]);
    for part in ["valid perplexity ", "layer 1, input, as in training", "layer 2, forget, in evaluation", page] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let html = fs::read_to_string(page).unwrap();
    // 2 layers, each 4 histograms; losses; at least one piece of text.
    assert!(html.matches("<svg").count() >= 2 * 4 + 2, "{}", html.matches("<svg").count());
    for part in ["Gumbel-Gate LSTM, layer 2", "nats a token", "\ncat\n", "[gates]", "epochs = 3"] {
        assert!(html.contains(part), "{part:?} is not on the page");
    }
    for part in ["<script", "<link", "src=", "href=", "@import", "url(", "NaN"] {
        assert!(!html.contains(part), "{part:?} is on the page");
    }
    let outside: Vec<&str> = html.split("http").skip(1).filter(|rest| !rest.contains("www.w3.org/2000/svg")).collect();
    assert!(outside.is_empty(), "{outside:?}");
}

#[test]
fn gates_as_json_are_shares_of_one_whole() {
    let (_folder, run) = run("gates_json", &[]);
    let json: serde_json::Value = serde_json::from_str(&printed(&["gates", "--checkpoint", &run, "--json"])).unwrap();
    assert_eq!(json["layers"].as_array().unwrap().len(), 2);
    for layer in json["layers"].as_array().unwrap() {
        for mode in ["training", "evaluation"] {
            for gate in ["input", "forget"] {
                let bins = layer[mode][gate]["histogram"].as_array().unwrap();
                let bins: Vec<f64> = bins.iter().map(|bin| bin.as_f64().unwrap()).collect();
                assert!((bins.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{bins:?}");
                let closed = layer[mode][gate]["below_0.1"].as_f64().unwrap();
                assert!((bins[0] + bins[1] - closed).abs() < 1e-3, "{closed} {bins:?}");
            }
        }
        // In training the gates are sampled.
        assert_ne!(layer["training"], layer["evaluation"]);
    }
}

#[test]
fn a_trained_model_writes_what_it_has_read() {
    let (_folder, run) = run("generate", &["--set", "train.epochs=12"]);
    let generate = |arguments: &[&str]| printed(&[&["generate", "--checkpoint", &run], arguments].concat());
    let likeliest = generate(&["--temperature", "0", "--length", "14"]);
    assert!(likeliest.starts_with("the ") && likeliest.contains(" sat on the "), "{likeliest}");
    let hot = ["--length", "60", "--temperature", "3"];
    let text = generate(&hot);
    assert_eq!(text, generate(&hot));
    assert_ne!(text, generate(&[&hot[..], &["--seed", "1"]].concat()));
    let continued = generate(&["--prompt", "the dog sat", "--length", "2", "--temperature", "0"]);
    assert!(continued.starts_with("the dog sat on the"), "{continued}");
    check_error(&["generate", "--checkpoint", &run, "--prompt", "the zebra"], &["--prompt", "zebra"]);
    check_error(&["generate", "--checkpoint", &run, "--temperature", "-1"], &["--temperature", "from 0 up"]);
}

#[test]
fn what_is_quiet_prints_results_only() {
    let folder = Folder::new("quiet");
    let quiet = folder.trained(&["--quiet"]);
    assert_eq!(quiet.lines().count(), 2, "{quiet}");
    assert!(folder.trained(&[]).ends_with(&quiet));
}

#[test]
fn shells_learn_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]);
        assert!(script.contains("generate") && script.contains("checkpoint"), "{script}");
    }
    let help = printed(&["--help"]);
    for command in ["demo", "train", "eval", "gates", "generate", "graph", "bench", "import", "export", "Examples:"] {
        assert!(help.contains(command), "{command}: {help}");
    }
}

#[test]
fn a_page_that_cannot_be_written_is_known_before_the_work() {
    let folder = Folder::new("page");
    let page = folder.0.join("missing").join("page.html");
    check_error(&["demo", "--out", page.to_str().unwrap()], &["--out", "missing", "cannot be written"]);
    check_error(&["gates", "--checkpoint", folder.0.to_str().unwrap()], &["checkpoint"]);
    assert!(!g2lstm(&["gates"]).status.success());
}
