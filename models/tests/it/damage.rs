//! Checkpoints that are damaged, or were made to do damage: none is used, none panics, and each message says which file.

use crate::{Folder, g2lstm};
use g2_models::checkpoint::Saved;
use g2_models::checkpoint::tensors::{Tensor, decode, encode};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

const FILES: [&str; 5] =
    ["state.toml", "config.toml", "vocabulary.json", "parameters.safetensors", "states.safetensors"];

/// The files of a sound checkpoint, written in the middle of an epoch.
static SOUND: LazyLock<[Vec<u8>; 5]> = LazyLock::new(|| {
    let folder = Folder::new("sound");
    let run = folder.0.join("run");
    assert!(folder.train(&["--out", run.to_str().unwrap(), "--set", "train.epochs=1"]).status.success());
    let checkpoint = fs::read_dir(run).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    FILES.map(|file| fs::read(checkpoint.join(file)).unwrap())
});

/// A sound checkpoint of its own.
fn sound(test: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    FILES.iter().zip(&*SOUND).for_each(|(file, bytes)| fs::write(path.join(file), bytes).unwrap());
    path
}

/// Does something to one file of a sound checkpoint; the program must refuse it and say so.
#[track_caller]
fn check(file: &str, damage: impl FnOnce(&Path), parts: &[&str]) {
    let name = format!("damage-{}", std::panic::Location::caller().line());
    let path = sound(&name);
    damage(&path.join(file));
    let output = g2lstm(&["eval", "--checkpoint", path.to_str().unwrap()]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in [&[file], parts].concat() {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

/// The same for its text.
#[track_caller]
fn check_edit(file: &str, from: &str, to: &str, parts: &[&str]) {
    let edit = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    };
    check(file, edit, parts);
}

fn truncate(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

/// A file of safetensors with this header.
fn header(json: &str, data: usize) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &vec![0; data]].concat()
}

#[test]
fn truncated_files_are_refused() {
    check("parameters.safetensors", truncate, &["truncated", "restore it"]);
    check("states.safetensors", truncate, &["truncated", "restore it"]);
    check("vocabulary.json", truncate, &["damaged", "restore it"]);
    check("state.toml", truncate, &["damaged", "restore it"]);
    check("config.toml", truncate, &["restore it"]);
    for file in FILES {
        let path = sound("damage-empty");
        fs::write(path.join(file), "").unwrap();
        let output = g2lstm(&["eval", "--checkpoint", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains(file));
    }
}

#[test]
fn other_versions_and_shapes_are_refused() {
    check_edit("state.toml", "version = 1", "version = 2", &["version 2", "reads version 1", "release"]);
    check_edit("state.toml", "version = 1\n", "", &["no version"]);
    check_edit("state.toml", "[position]", "[future]", &["future"]);
    check_edit("state.toml", "epoch = 2", "epoch = 0", &["cannot be"]);
    let config = |from: &str, to: &str, parts: &[&str]| {
        let path = sound("damage-shape");
        let text = fs::read_to_string(path.join("config.toml")).unwrap();
        fs::write(path.join("config.toml"), text.replacen(from, to, 1)).unwrap();
        let message = Saved::read(&path).err().map(|error| format!("{error:#}")).unwrap();
        for part in [&["parameters.safetensors"], parts].concat() {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    };
    config("hidden = 12", "hidden = 13", &["`weight_ih_l0` is [48, 8]", "[52, 8]"]);
    config("layers = 2", "layers = 1024", &["no `weight_ih_l2`"]);
    config("layers = 2", "layers = 1", &["no place", "_l1`"]);
    config("hidden = 12", "hidden = 16777216", &["[67108864, 8]"]);
    config("tie = false", "tie = true", &["`decoder.weight`", "model.tie = false"]);
    check_edit("vocabulary.json", "\"cat\"", "\"the\"", &["twice"]);
    let path = sound("damage-vocabulary");
    fs::write(path.join("vocabulary.json"), "[\"a\"]").unwrap();
    let message = format!("{:#}", Saved::read(&path).err().unwrap());
    assert!(message.contains("parameters.safetensors") && message.contains("[1, 8]"), "{message}");
}

#[test]
fn hostile_files_are_refused() {
    let write = |bytes: Vec<u8>| move |path: &Path| fs::write(path, bytes).unwrap();
    let tensor =
        |shape: &str, end: &str| format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#);
    let file = "parameters.safetensors";
    check(file, write(u64::MAX.to_le_bytes().to_vec()), &["damaged"]);
    check(file, write(header(&tensor("[4294967296,4294967296]", "0"), 0)), &["overflows"]);
    check(file, write(header(&tensor("[1]", "18446744073709551615"), 4)), &["damaged"]);
    check(file, write(header(&tensor("[1000000000]", "4000000000"), 4)), &["truncated"]);
    check(file, write(header(&"[".repeat(100_000), 0)), &["damaged"]);
    check(file, write(header(&tensor("[1]", "4"), 4).repeat(2)), &["truncated"]);
    check(file, write(header(&tensor("[2]", "4").replace("F32", "F16"), 4)), &["F16", "32-bit"]);
    let escaping = |path: &Path| {
        let mut tensors = decode(&fs::read(path).unwrap()).unwrap();
        tensors.insert("../../escaped".to_owned(), Tensor { shape: vec![1], data: vec![1.0] });
        fs::write(path, encode(&tensors).unwrap()).unwrap();
    };
    check(file, escaping, &["no place", "../../escaped"]);
    check("vocabulary.json", write(b"[".repeat(100_000)), &["damaged"]);
    check("vocabulary.json", write(b"[1, 2]".to_vec()), &["damaged"]);
    check("vocabulary.json", write(b"[\"\xff\"]".to_vec()), &["UTF-8"]);
}

#[test]
fn changed_bits_are_noticed() {
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
    };
    check("parameters.safetensors", flip, &["not what was written", "restore it"]);
}

#[test]
fn missing_and_unreadable_files_are_named() {
    for file in FILES {
        check(file, |path| fs::remove_file(path).unwrap(), &["no such file"]);
    }
    let folder = |path: &Path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    };
    check("config.toml", folder, &["cannot be read", "not a plain file"]);
    check("parameters.safetensors", folder, &["cannot be read", "not a plain file"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let endless = |path: &Path| {
            fs::remove_file(path).unwrap();
            symlink("/dev/zero", path).unwrap();
        };
        check("state.toml", endless, &["not a plain file"]);
        check("parameters.safetensors", endless, &["not a plain file"]);
        let locked = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
        let path = sound("damage-permissions").join("state.toml");
        locked(&path);
        // Whoever may do everything may read it all the same.
        if fs::read(&path).is_err() {
            check("state.toml", locked, &["cannot be read", "allow it"]);
        }
    }
}

/// What happens to a file's bytes.
fn damaged(bytes: &[u8]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let bytes = bytes.to_vec();
    let length = bytes.len();
    // What stands in front decides how the rest is read.
    let place = prop_oneof![0..length, 0..length.min(600)];
    let edits = prop::collection::vec((place, any::<u8>(), 0..4_u8), 1..6);
    (edits, prop::option::of(0..length)).prop_map(move |(edits, cut)| {
        let mut bytes = bytes.clone();
        for (place, byte, kind) in edits {
            match kind {
                0 => bytes[place] = byte,
                1 => bytes[place] ^= 1 << (byte % 8),
                // Digits stay digits: other sizes, in a file that can still be parsed.
                _ => {
                    let digit = (place..bytes.len()).find(|&k| bytes[k].is_ascii_digit());
                    digit.into_iter().for_each(|k| bytes[k] = b'0' + byte % 10);
                }
            }
        }
        bytes.truncate(cut.filter(|cut| cut % 3 == 0).unwrap_or(length));
        bytes
    })
}

fn any_damage() -> impl Strategy<Value = (usize, Vec<u8>)> {
    (0..FILES.len()).prop_flat_map(|file| damaged(&SOUND[file]).prop_map(move |bytes| (file, bytes)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// More with `PROPTEST_CASES=1000000`.
    #[test]
    fn no_damage_panics((file, bytes) in any_damage()) {
        static PATH: LazyLock<PathBuf> = LazyLock::new(|| sound(&format!("fuzz-{}", std::process::id())));
        fs::write(PATH.join(FILES[file]), &bytes).unwrap();
        let read = Saved::read(&PATH);
        fs::write(PATH.join(FILES[file]), &SOUND[file]).unwrap();
        if let Err(error) = read {
            prop_assert!(format!("{error:#}").contains("fuzz"), "{error:#}");
        }
    }
}
