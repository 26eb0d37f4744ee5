//! What the ops tools do the same way: parse, run, report, print, reach a host.
