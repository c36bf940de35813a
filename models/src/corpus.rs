//! Text files to token ids: words (white space splits, `<eos>` ends each line) or characters, the vocabulary being the
//! training text's.

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// What one token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What ASCII white space separates, and `<eos>` at the end of each line.
    Word,
    /// Every character, line ends included.
    Char,
}

impl Level {
    /// What the tokens are called.
    pub fn noun(self) -> &'static str {
        match self {
            Level::Word => "words",
            Level::Char => "characters",
        }
    }
}

/// Ends each line at the level of words.
pub const EOS: &str = "<eos>";
/// Stands for every word that the training text does not have, where the training text has it.
pub const UNKNOWN: &str = "<unk>";

/// A piece of text and the file that it is from.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// For messages.
    pub file: &'a str,
    /// What it says.
    pub text: &'a str,
}

/// The distinct tokens of the training text, numbered as they first appear.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    tokens: Vec<String>,
    ids: HashMap<String, u32>,
}

impl Vocabulary {
    /// Of these tokens, in the order of their ids; nothing if there are none, or one is there twice.
    pub fn from_tokens(tokens: Vec<String>) -> Option<Vocabulary> {
        let mut vocabulary = Vocabulary::default();
        for (k, token) in tokens.iter().enumerate() {
            if vocabulary.insert(token) as usize != k {
                return None;
            }
        }
        (!vocabulary.is_empty()).then_some(vocabulary)
    }

    /// All tokens, in the order of their ids.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The token of an id.
    pub fn token(&self, id: u32) -> &str {
        &self.tokens[id as usize]
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    fn insert(&mut self, token: &str) -> u32 {
        if let Some(id) = self.id(token) {
            return id;
        }
        let id = self.tokens.len() as u32;
        self.tokens.push(token.to_owned());
        self.ids.insert(token.to_owned(), id);
        id
    }
}

/// The three parts of a corpus as token ids.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// What one token is.
    pub level: Level,
    /// The training text's tokens.
    pub vocabulary: Vocabulary,
    /// To learn from.
    pub train: Vec<u32>,
    /// To watch while learning.
    pub valid: Vec<u32>,
    /// To measure at the end.
    pub test: Vec<u32>,
}

impl Corpus {
    /// Reads `{train,valid,test}.txt`, or `ptb.{train,valid,test}.txt`, from `dir`.
    ///
    /// # Errors
    /// A missing folder or file, a file that is empty or not UTF-8, and those of [`Corpus::from_texts`].
    pub fn read(dir: &Path, level: Level) -> Result<Corpus> {
        let parts = [read_part(dir, "train")?, read_part(dir, "valid")?, read_part(dir, "test")?];
        Corpus::from_texts(parts.each_ref().map(|(file, text)| Text { file, text }), level)
    }

    /// From the texts for training, validation and test.
    ///
    /// # Errors
    /// An empty text, and a token that the training text does not have while it does not have [`UNKNOWN`] either.
    pub fn from_texts([train, valid, test]: [Text<'_>; 3], level: Level) -> Result<Corpus> {
        let mut vocabulary = Vocabulary::default();
        let train = tokens(train, level, |token, _| Ok(vocabulary.insert(token)))?;
        let (valid, test) = (look_up(valid, level, &vocabulary)?, look_up(test, level, &vocabulary)?);
        Ok(Corpus { level, vocabulary, train, valid, test })
    }
}

/// Reads `PART.txt` or `ptb.PART.txt` from `dir` as the ids of a vocabulary that is there already.
///
/// # Errors
/// As [`Corpus::read`].
pub fn read_ids(dir: &Path, part: &str, level: Level, vocabulary: &Vocabulary) -> Result<Vec<u32>> {
    let (file, text) = read_part(dir, part)?;
    look_up(Text { file: &file, text: &text }, level, vocabulary)
}

/// The name and the content of the file for training, validation or test; all three have the same prefix.
fn read_part(dir: &Path, part: &str) -> Result<(String, String)> {
    ensure!(dir.is_dir(), "data.dir: there is no folder {}; set it to one that holds the text", dir.display());
    let has = |prefix: &str, part: &str| dir.join(format!("{prefix}{part}.txt")).is_file();
    let prefixes = ["", "ptb."];
    // The training text decides, but a text can be evaluated on without it.
    let prefix = prefixes.into_iter().find(|prefix| has(prefix, "train"));
    let prefix = prefix.or_else(|| prefixes.into_iter().find(|prefix| part != "train" && has(prefix, part)));
    let Some(prefix) = prefix else {
        bail!(
            "data.dir: {} holds neither train.txt nor ptb.train.txt; put train.txt, valid.txt and test.txt there",
            dir.display()
        );
    };
    let path = dir.join(format!("{prefix}{part}.txt"));
    let bytes = std::fs::read(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..at].iter().filter(|&&b| b == b'\n').count();
        anyhow::anyhow!("{}, line {line}: not UTF-8 (byte {at}); convert the file to UTF-8", path.display())
    })?;
    Ok((path.display().to_string(), text))
}

/// The ids of a text's tokens.
///
/// # Errors
/// As [`Corpus::from_texts`].
pub fn look_up(text: Text<'_>, level: Level, vocabulary: &Vocabulary) -> Result<Vec<u32>> {
    let unknown = vocabulary.id(UNKNOWN);
    tokens(text, level, |token, line| {
        vocabulary.id(token).or(unknown).with_context(|| {
            format!(
                "{}, line {line}: {token:?} is not in the training text, which has no {UNKNOWN} to stand for it; {}",
                text.file,
                match level {
                    Level::Word => format!("write {UNKNOWN} for rare words, or set data.level to \"char\""),
                    Level::Char => "add it to the training text, or leave it out here".to_owned(),
                }
            )
        })
    })
}

/// The ids that `id` gives to the tokens of a text, called with each token and its line's number.
fn tokens(text: Text<'_>, level: Level, mut id: impl FnMut(&str, usize) -> Result<u32>) -> Result<Vec<u32>> {
    ensure!(!text.text.trim().is_empty(), "{}: the file is empty; it must hold text", text.file);
    let mut ids = Vec::new();
    match level {
        Level::Word => {
            for (line, words) in text.text.lines().enumerate() {
                for word in words.split_ascii_whitespace().chain([EOS]) {
                    ids.push(id(word, line + 1)?);
                }
            }
        }
        Level::Char => {
            let mut line = 1;
            for (start, c) in text.text.char_indices() {
                ids.push(id(&text.text[start..start + c.len_utf8()], line)?);
                line += usize::from(c == '\n');
            }
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(train: &str, valid: &str, level: Level) -> Result<Corpus> {
        let text = |file, text| Text { file, text };
        Corpus::from_texts([text("train.txt", train), text("valid.txt", valid), text("test.txt", train)], level)
    }

    #[track_caller]
    fn check_error(result: Result<Corpus>, parts: &[&str]) {
        let message = format!("{:#}", result.unwrap_err());
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    }

    #[test]
    fn words_end_each_line_with_eos() {
        let corpus = corpus(" a b a \n\nb\u{a0}c d", "d a\r\n", Level::Word).unwrap();
        assert_eq!(corpus.train, [0, 1, 0, 2, 2, 3, 4, 2]);
        assert_eq!(corpus.vocabulary.token(3), "b\u{a0}c");
        assert_eq!(corpus.valid, [4, 0, 2]);
    }

    #[test]
    fn characters_are_all_tokens() {
        let corpus = corpus("añ\na b", "ñb", Level::Char).unwrap();
        assert_eq!(corpus.train, [0, 1, 2, 0, 3, 4]);
        assert_eq!(corpus.valid, [1, 4]);
        assert_eq!(corpus.vocabulary.token(1), "ñ");
    }

    #[test]
    fn unseen_words_become_unknown_or_an_error() {
        let with = corpus("a <unk>\n", "b\n", Level::Word).unwrap();
        assert_eq!(with.valid, [1, 2]);
        check_error(corpus("a\n", "a\na zebra\n", Level::Word), &["valid.txt, line 2", "\"zebra\"", "<unk>"]);
        check_error(corpus("a\n", "a\na\nz", Level::Char), &["valid.txt, line 3", "\"z\""]);
    }

    #[test]
    fn an_empty_text_is_an_error() {
        check_error(corpus("a\n", " \n", Level::Word), &["valid.txt", "empty"]);
    }

    /// Against the published counts, where the licensed text is at hand: `PTB=folder cargo test -- --ignored`.
    #[test]
    #[ignore = "needs the Penn Treebank"]
    fn penn_treebank_has_its_published_counts() {
        let corpus = Corpus::read(Path::new(&std::env::var("PTB").unwrap()), Level::Word).unwrap();
        let counts = [corpus.vocabulary.len(), corpus.train.len(), corpus.valid.len(), corpus.test.len()];
        assert_eq!(counts, [10_000, 929_589, 73_760, 82_430]);
    }
}
