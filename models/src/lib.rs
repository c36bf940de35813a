//! `g2-models`: from text to a trained language model. The stages, in order: `config` (what to train), `corpus` (text to
//! token ids), `batches` (ids to windows), `train` with `sgd` (windows to parameters), `evaluate` and `gates` (what the
//! parameters are worth), `demo` (all of it on the text that is shipped).

pub mod batches;
pub mod config;
pub mod corpus;
pub mod evaluate;
pub mod gates;
pub mod report;
pub mod sgd;
pub mod train;
