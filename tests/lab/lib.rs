//! The lab and the harness of the end-to-end tests.
