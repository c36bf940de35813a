//! Parameters that come from PyTorch and go back, against numbers that `torch_reference.py` made.

use crate::{Folder, g2lstm};
use g2_models::checkpoint::tensors::{Tensors, decode, encode};
use std::fs;
use std::path::Path;

const STATE_DICT: &[u8] = include_bytes!("torch_reference.safetensors");
const REFERENCE: &str = include_str!("torch_reference.json");
/// Of perplexities, relative: f32 in another order of sums, over an epoch.
const TOLERANCE: f64 = 1e-4;

#[track_caller]
fn succeed(arguments: &[&str]) -> String {
    let output = g2lstm(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Folder {
    /// Runs `g2lstm import` of this file.
    fn import(&self, state_dict: &[u8], arguments: &[&str]) -> std::process::Output {
        self.write("model.safetensors", state_dict);
        let path = |name: &str| self.0.join(name).to_str().unwrap().to_owned();
        let (config, from, out) = (path("config.toml"), path("model.safetensors"), path("run"));
        let epochs = ["--set", "train.epochs=1", "--set", "gates.training=baseline"];
        g2lstm(&[&["import", "--config", &config, "--from", &from, "--out", &out], &epochs[..], arguments].concat())
    }

    #[track_caller]
    fn check_import_error(&self, tensors: &Tensors, arguments: &[&str], parts: &[&str]) {
        let output = self.import(&encode(tensors).unwrap(), arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        for part in [&["model.safetensors"], parts].concat() {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
        assert!(!self.0.join("run").exists(), "nothing is made of it");
    }
}

#[test]
fn pytorchs_model_has_pytorchs_perplexity_and_learns_the_same() {
    let reference: serde_json::Value = serde_json::from_str(REFERENCE).unwrap();
    let folder = Folder::new("torch");
    let imported = folder.import(STATE_DICT, &[]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let run = folder.0.join("run");
    let run = run.to_str().unwrap();
    let check = |when: &str| {
        for split in ["valid", "test"] {
            let found = succeed(&["eval", "--checkpoint", run, "--split", split, "--json"]);
            let found: serde_json::Value = serde_json::from_str(&found).unwrap();
            let [found, expected] = [&found["perplexity"], &reference[when][split]].map(|v| v.as_f64().unwrap());
            assert!((found / expected - 1.0).abs() < TOLERANCE, "{when}, {split}: {found}, PyTorch {expected}");
        }
    };
    check("before");
    succeed(&["train", "--resume", run]);
    check("after");
}

#[test]
fn what_is_exported_is_what_was_imported() {
    let folder = Folder::new("torch-export");
    assert!(folder.import(STATE_DICT, &[]).status.success());
    let (run, file) = (folder.0.join("run"), folder.0.join("exported.safetensors"));
    let export = ["export", "--checkpoint", run.to_str().unwrap(), "--out", file.to_str().unwrap()];
    succeed(&export);
    let exported = decode(&fs::read(&file).unwrap()).unwrap();
    let given = decode(STATE_DICT).unwrap();
    assert_eq!(exported.len(), given.len());
    for (name, tensor) in &given {
        let ours = &exported[name.strip_prefix("rnn.").unwrap_or(name)];
        let sum: Vec<f32> = match name.strip_prefix("rnn.bias_ih_l") {
            Some(layer) => {
                let more = &given[&format!("rnn.bias_hh_l{layer}")].data;
                tensor.data.iter().zip(more).map(|(a, b)| a + b).collect()
            }
            None if name.contains("bias_hh") => vec![0.0; tensor.data.len()],
            None => tensor.data.clone(),
        };
        assert_eq!((&ours.shape, &ours.data), (&tensor.shape, &sum), "{name}");
    }
    assert!(!succeed(&export).contains("sharpened"));
    assert_eq!(fs::read(&file).unwrap(), encode(&exported).unwrap());
    let output = g2lstm(&["export", "--checkpoint", run.to_str().unwrap(), "--out", run.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a plain file"));
}

#[test]
fn divided_by_tau_a_sharpened_model_is_pytorchs() {
    let folder = Folder::new("torch-sharpened");
    let tau = ["--set", "gates.training=sharpened", "--set", "gates.tau=0.25"];
    let mut tensors = decode(STATE_DICT).unwrap();
    // The first half of the rows is that of i and f.
    let sharp = tensors.iter_mut().filter(|(name, _)| name.starts_with("rnn."));
    sharp.for_each(|(_, tensor)| {
        let half = tensor.data.len() / 2;
        tensor.data[..half].iter_mut().for_each(|v| *v *= 0.25);
    });
    let imported = folder.import(&encode(&tensors).unwrap(), &tau);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let run = folder.0.join("run");
    let run = run.to_str().unwrap();
    let file = folder.0.join("exported.safetensors");
    let said = succeed(&["export", "--checkpoint", run, "--out", file.to_str().unwrap()]);
    assert!(said.contains("gates.tau = 0.25"), "{said}");
    let found: serde_json::Value =
        serde_json::from_str(&succeed(&["eval", "--checkpoint", run, "--split", "test", "--json"])).unwrap();
    let reference: serde_json::Value = serde_json::from_str(REFERENCE).unwrap();
    let [found, expected] = [&found["perplexity"], &reference["before"]["test"]].map(|v| v.as_f64().unwrap());
    assert!((found / expected - 1.0).abs() < TOLERANCE, "{found}, PyTorch {expected}");
}

#[test]
fn a_tied_model_goes_out_and_comes_back() {
    let folder = Folder::new("torch-tied");
    let run = folder.0.join("trained");
    let run = run.to_str().unwrap();
    assert!(folder.train(&["--out", run, "--set", "model.tie=true", "--set", "train.epochs=1"]).status.success());
    let file = folder.0.join("exported.safetensors");
    succeed(&["export", "--checkpoint", run, "--out", file.to_str().unwrap()]);
    let exported = decode(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(exported["encoder.weight"], exported["decoder.weight"]);
    let imported = folder.import(&fs::read(&file).unwrap(), &["--set", "model.tie=true"]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let eval = |run: &Path| succeed(&["eval", "--checkpoint", run.to_str().unwrap()]);
    assert_eq!(eval(Path::new(run)), eval(&folder.0.join("run")));
    fs::remove_dir_all(folder.0.join("run")).unwrap();
    let mut untied = exported;
    untied.get_mut("decoder.weight").unwrap().data[0] += 1.0;
    folder.check_import_error(&untied, &["--set", "model.tie=true"], &["`decoder.weight`", "model.tie = false"]);
}

#[test]
fn state_dicts_that_do_not_fit_are_named() {
    let folder = Folder::new("torch-errors");
    let given = decode(STATE_DICT).unwrap();
    let change = |name: &str, to: Option<&str>| {
        let mut tensors = given.clone();
        let tensor = tensors.remove(name).unwrap();
        to.into_iter().for_each(|to| drop(tensors.insert(to.to_owned(), tensor.clone())));
        tensors
    };
    folder.check_import_error(&change("rnn.weight_hh_l1", None), &[], &["no `weight_hh_l1`", "2 layers"]);
    folder.check_import_error(&given, &["--set", "model.layers=1"], &["no place", "_l1`"]);
    folder.check_import_error(&given, &["--set", "model.hidden=9"], &["`rnn.weight_ih_l0`", "[48, 8]", "[36, 8]"]);
    let mut twice = given.clone();
    twice.insert("weight_ih_l0".to_owned(), given["rnn.weight_ih_l0"].clone());
    folder.check_import_error(&twice, &[], &["`rnn.weight_ih_l0` and `weight_ih_l0`"]);
    folder.check_import_error(&change("encoder.weight", Some("embedding.weight")), &[], &["no `encoder.weight`"]);
}
