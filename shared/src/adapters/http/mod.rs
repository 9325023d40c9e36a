//! HTTP at the edge: API Gateway events in, responses out. Handlers are parse, one call, respond.

pub mod edge;
pub mod fields;
pub mod form;
pub mod problem;
pub mod request;
pub mod response;
pub mod run;
pub mod serve;
