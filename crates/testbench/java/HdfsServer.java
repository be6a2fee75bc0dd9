import java.io.File;

import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hdfs.MiniDFSCluster;

/** A name node and a data node in one process: FOLDER PORT. Both are there once the directory /ready is. */
public final class HdfsServer {
    public static void main(String[] args) throws Exception {
        MiniDFSCluster cluster = new MiniDFSCluster.Builder(new Configuration(), new File(args[0]))
                .numDataNodes(1)
                .nameNodeHttpPort(Integer.parseInt(args[1]))
                .build();
        cluster.waitActive();
        cluster.getFileSystem().mkdirs(new Path("/ready"));
        Thread.currentThread().join();
    }
}
