//! `g2-models`: from text to a trained language model. The stages, in order: `config` (what to train), `corpus` (text to
//! token ids), `batches` (ids to windows), `train` (windows to updates), `evaluate` and `gates` (what
//! parameters are worth), `language_model` (the graphs and the engine that runs them), `experiment` (all of it, told
//! line by line), `demo` (two experiments on the text that is shipped). Beside them: `registry` (the shipped models by
//! name), `graph_text` (their graphs to read), `layer_bench` (how fast a layer is), `proposition` (Proposition 3.1,
//! counted), `figures` (what there is to plot), `plots` (SVG), `page` (HTML), `checkpoint` (what a run leaves on
//! disk), `torch` (its names in PyTorch), `trained` (a model read back), `metrics`, `signal`, `run` (the commands
//! that use these), `gates_page` and `generate` (a trained model's figures and its text).

pub mod batches;
pub mod checkpoint;
pub mod config;
pub mod corpus;
pub mod demo;
pub mod evaluate;
pub mod experiment;
pub mod figures;
pub mod gates;
pub mod gates_page;
pub mod generate;
pub mod graph_text;
pub mod language_model;
pub mod layer_bench;
pub mod metrics;
pub mod page;
pub mod plots;
pub mod proposition;
pub mod registry;
pub mod report;
pub mod run;
pub mod signal;
pub mod torch;
pub mod train;
pub mod trained;
