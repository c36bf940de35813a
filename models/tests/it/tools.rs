//! Commands that need no trained model.

use crate::g2lstm;
use std::process::Output;

#[track_caller]
pub fn printed(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = g2lstm(arguments);
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[track_caller]
pub fn check_error(arguments: &[&str], parts: &[&str]) {
    let Output { status, stdout: _, stderr } = g2lstm(arguments);
    let message = String::from_utf8_lossy(&stderr);
    assert!(matches!(status.code(), Some(1 | 2)), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

#[test]
fn graphs_are_printed() {
    let names = printed(&["graph"]);
    assert!(names.lines().any(|name| name == "G2Lm") && names.lines().any(|name| name == "LstmLayer"), "{names}");
    let text = printed(&["graph", "g2lm"]);
    assert!(text.starts_with("G2Lm (Training)") && text.contains("gradient of layers.w_h"), "{text}");
    let dot = printed(&["graph", "LstmLayer", "--mode", "evaluation", "--format", "dot"]);
    assert!(dot.starts_with("digraph \"LstmLayer (Evaluation)\""), "{dot}");
    let plan = printed(&["graph", "G2LstmLayer", "--mode", "sampling", "--plan", "--size", "time=7"]);
    assert!(plan.contains("plan G2LstmLayer (Sampling, Fused)") && plan.contains("7 steps"), "{plan}");
}

#[test]
fn mistakes_in_the_name_of_a_graph_are_named() {
    check_error(&["graph", "G2ML"], &["no model `G2ML`", "did you mean `G2Lm`?"]);
    check_error(&["graph", "G2Lm", "--plan", "--format", "dot"], &["--plan", "--format dot"]);
    check_error(&["graph", "TiedG2Lm", "--plan", "--size", "embedding=100"], &["layers", "200", "100"]);
    check_error(&["graph", "G2Lm", "--plan", "--size", "batch"], &["--size batch", "batch=64"]);
}

#[test]
fn a_layer_is_timed() {
    let sizes = ["bench", "layer", "--steps", "3", "--batch", "4", "--input", "5", "--hidden", "6", "--threads", "1"];
    let json = printed(&[&sizes[..], &["--cell", "G2Lstm", "--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["cell"], &json["fused"], &json["hidden"]), (&"G2Lstm".into(), &true.into(), &6.into()));
    let time = |key: &str| json[key].as_f64().unwrap();
    assert!(time("forward_ms") > 0.0 && time("forward_backward_ms") > time("forward_ms"), "{json}");
    let text = printed(&[&sizes[..], &["--cell", "lstm", "--unfused"]].concat());
    assert!(text.starts_with("Lstm, T3 B4 I5 H6, unfused, 1 threads"), "{text}");
    check_error(&[&sizes[..], &["--cell", "gru"]].concat(), &["no cell `gru`", "G2Lstm"]);
    check_error(&["bench", "layer", "--cell", "Lstm", "--steps", "0"], &["--steps", "from 1"]);
}
