//! The edge: stores, KMS and HTTP. Errors of drivers are classified here and go no further.

pub mod anchors;
pub mod aws;
pub mod aws_http;
pub mod dynamodb;
pub mod geo;
pub mod http;
pub mod jobs;
pub mod kms;
pub mod outbound;
pub mod postgres;
pub mod redis;
pub mod sns;
