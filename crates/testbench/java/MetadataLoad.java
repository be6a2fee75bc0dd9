import java.io.BufferedInputStream;
import java.io.BufferedReader;
import java.io.DataInputStream;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.nio.file.Path;
import java.nio.file.Paths;
import org.apache.flink.runtime.checkpoint.Checkpoints;
import org.apache.flink.runtime.checkpoint.OperatorState;
import org.apache.flink.runtime.checkpoint.metadata.CheckpointMetadata;

/**
 * Reads the _metadata named on the command line with Flink's own Checkpoints class, once for each line on
 * the standard input, and prints for each a line: nanoseconds, and bytes of state of all operators.
 *
 * <p>The stream is buffered. Flink itself reads local files without a buffer, which is much slower.
 */
public class MetadataLoad {

    private static final int BUFFER_BYTES = 1 << 20;

    public static void main(String[] args) throws Exception {
        Path path = Paths.get(args[0]);
        String pointer = path.toAbsolutePath().getParent().toUri().toString();
        BufferedReader turns = new BufferedReader(new InputStreamReader(System.in));
        while (turns.readLine() != null) {
            long begin = System.nanoTime();
            CheckpointMetadata read;
            try (DataInputStream in =
                    new DataInputStream(
                            new BufferedInputStream(
                                    new FileInputStream(path.toFile()), BUFFER_BYTES))) {
                read =
                        Checkpoints.loadCheckpointMetadata(
                                in, MetadataLoad.class.getClassLoader(), pointer);
            }
            long took = System.nanoTime() - begin;
            long bytes = 0;
            for (OperatorState operator : read.getOperatorStates()) {
                bytes += operator.getStateSize();
            }
            System.out.println(took + " " + bytes);
        }
    }
}
