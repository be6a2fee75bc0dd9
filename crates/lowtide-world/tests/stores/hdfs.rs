//! HDFS, by the `WebHDFS` of Hadoop's own name node.

use lowtide_world::store::settings::{Hdfs, StoreSettings};
use testbench::hdfs::HdfsServer;

use super::{blocked, both_levels, objects};

#[test]
fn both_levels_read_what_the_name_node_and_the_data_node_give() {
    let server = HdfsServer::start().unwrap();
    for (key, bytes) in objects() {
        server.put(&format!("/state/{key}"), &bytes).unwrap();
    }
    let settings = || {
        StoreSettings::Hdfs(Hdfs {
            url: Some(server.url().parse().unwrap()),
            ..Hdfs::default()
        })
    };
    let address = server.url().trim_start_matches("http://");
    blocked(async {
        both_levels(settings(), "hdfs://namenode:8020/state").await;
        both_levels(settings(), &format!("webhdfs://{address}/state")).await;
    });
}
