import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.runtime.checkpoint.Checkpoints;
import org.apache.flink.runtime.checkpoint.OperatorState;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.runtime.checkpoint.metadata.CheckpointMetadata;
import org.apache.flink.runtime.state.IncrementalKeyedStateHandle;
import org.apache.flink.runtime.state.KeyedStateHandle;
import org.apache.flink.runtime.state.OperatorStateHandle;
import org.apache.flink.runtime.state.StateObject;
import org.apache.flink.runtime.state.StreamStateHandle;
import org.apache.flink.runtime.state.changelog.ChangelogStateBackendHandle;

/**
 * Prints, one line of JSON per file named on the command line, what Flink's own Checkpoints class reads
 * from a _metadata:
 *
 * <pre>
 * {file, version, checkpointId, masterStates, trailing, props,
 *  operators: [{id, name, uid, parallelism, maxParallelism, fullyFinished, subtasks,
 *               stateSize, checkpointedSize, coordinatorSize,
 *               states: [{subtask, finished, stateSize, checkpointedSize,
 *                         handles: [{place, kind, size, checkpointedSize?, keyGroups?: [first, last],
 *                                    checkpoint?, backend?, materialization?, channel?,
 *                                    states?: {name: {mode, offsets}},
 *                                    streams: [{kind, size, path?, start?, scope?}],
 *                                    materialized?: [handle…], delta?: [handle…]}]}]}]}
 * </pre>
 *
 * trailing is the number of bytes that Flink left unread. A file that Flink refuses gives {file, error}.
 * One source for Flink 1.15 to 2.3: what differs between them is found by reflection.
 */
public class MetadataDump {

    /** Where a subtask keeps its handles, and the getter of each place. */
    private static final String[][] PLACES = {
        {"managedOperator", "getManagedOperatorState"},
        {"rawOperator", "getRawOperatorState"},
        {"managedKeyed", "getManagedKeyedState"},
        {"rawKeyed", "getRawKeyedState"},
        {"inputChannel", "getInputChannelState"},
        {"resultSubpartition", "getResultSubpartitionState"},
    };

    /** How handles name what they wrap, over all releases. */
    private static final String[] INNER = {
        "getDelegateStateHandle",
        "getDelegate",
        "getMetaDataStateHandle",
        "getMetaStateHandle",
        "getSharedState",
        "getPrivateState",
        "getMaterializedStateHandles",
        "getNonMaterializedStateHandles",
        "getHandle",
        "getHandlesAndOffsets",
    };

    public static void main(String[] args) {
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (String file : args) {
            StringBuilder line = new StringBuilder();
            write(line, dump(file));
            out.println(line);
        }
        out.flush();
    }

    private static Map<String, Object> dump(String file) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("file", file);
        try {
            Path path = Paths.get(file);
            byte[] bytes = Files.readAllBytes(path);
            DataInputStream in = new DataInputStream(new ByteArrayInputStream(bytes));
            // The "external pointer" is what relative handles are resolved against: the directory.
            String pointer = path.toAbsolutePath().getParent().toUri().toString();
            CheckpointMetadata read =
                    Checkpoints.loadCheckpointMetadata(
                            in, MetadataDump.class.getClassLoader(), pointer);
            // Flink does not keep the version it read: it is the second word of the file.
            map.put("version", ByteBuffer.wrap(bytes).getInt(Integer.BYTES));
            map.put("checkpointId", read.getCheckpointId());
            map.put("masterStates", read.getMasterStates().size());
            map.put("trailing", in.available());
            map.put("props", String.valueOf(call(read, "getCheckpointProperties")));
            List<Object> operators = new ArrayList<>();
            for (OperatorState operator : read.getOperatorStates()) {
                operators.add(operator(operator));
            }
            map.put("operators", operators);
        } catch (Exception | Error refused) {
            map.put("error", refused.toString());
        }
        return map;
    }

    private static Map<String, Object> operator(OperatorState operator) throws Exception {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("id", operator.getOperatorID().toHexString());
        map.put("name", optional(call(operator, "getOperatorName")));
        map.put("uid", optional(call(operator, "getOperatorUid")));
        map.put("parallelism", operator.getParallelism());
        map.put("maxParallelism", operator.getMaxParallelism());
        map.put("fullyFinished", operator.isFullyFinished());
        map.put("subtasks", operator.getNumberCollectedStates());
        map.put("stateSize", operator.getStateSize());
        map.put("checkpointedSize", operator.getCheckpointedSize());
        StateObject coordinator = operator.getCoordinatorState();
        map.put("coordinatorSize", coordinator == null ? 0 : coordinator.getStateSize());
        List<Object> states = new ArrayList<>();
        if (!operator.isFullyFinished()) {
            Map<Integer, OperatorSubtaskState> sorted = new TreeMap<>(operator.getSubtaskStates());
            for (Map.Entry<Integer, OperatorSubtaskState> entry : sorted.entrySet()) {
                states.add(subtask(entry.getKey(), entry.getValue()));
            }
        }
        map.put("states", states);
        return map;
    }

    private static Map<String, Object> subtask(int index, OperatorSubtaskState state)
            throws Exception {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("subtask", index);
        map.put("finished", state.isFinished());
        map.put("stateSize", state.getStateSize());
        map.put("checkpointedSize", state.getCheckpointedSize());
        List<Object> handles = new ArrayList<>();
        for (String[] place : PLACES) {
            for (Object handle : (Collection<?>) call(state, place[1])) {
                handles.add(handle(place[0], (StateObject) handle));
            }
        }
        map.put("handles", handles);
        return map;
    }

    private static Map<String, Object> handle(String place, StateObject handle) throws Exception {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("place", place);
        map.put("kind", handle.getClass().getSimpleName());
        map.put("size", handle.getStateSize());
        if (handle instanceof KeyedStateHandle) {
            KeyedStateHandle keyed = (KeyedStateHandle) handle;
            map.put("checkpointedSize", keyed.getCheckpointedSize());
            int first = keyed.getKeyGroupRange().getStartKeyGroup();
            int last = keyed.getKeyGroupRange().getEndKeyGroup();
            map.put("keyGroups", List.of(first, last));
        }
        if (handle instanceof IncrementalKeyedStateHandle) {
            map.put("checkpoint", call(handle, "getCheckpointId"));
            map.put("backend", String.valueOf(call(handle, "getBackendIdentifier")));
        }
        if (handle instanceof ChangelogStateBackendHandle) {
            map.put("materialization", call(handle, "getMaterializationID"));
            map.put("materialized", nested(handle, "getMaterializedStateHandles"));
            map.put("delta", nested(handle, "getNonMaterializedStateHandles"));
        }
        Object channel = call(handle, "getInfo");
        if (channel != null) {
            map.put("channel", channel.toString());
        }
        if (handle instanceof OperatorStateHandle) {
            Map<String, Object> states = new TreeMap<>();
            ((OperatorStateHandle) handle)
                    .getStateNameToPartitionOffsets()
                    .forEach(
                            (name, info) ->
                                    states.put(
                                            name,
                                            Map.of(
                                                    "mode", info.getDistributionMode().name(),
                                                    "offsets", info.getOffsets().length)));
            map.put("states", states);
        }
        List<Object> streams = new ArrayList<>();
        streams(handle, streams);
        map.put("streams", streams);
        return map;
    }

    /** The keyed handles that a changelog's handle is made of. */
    private static List<Object> nested(Object handle, String getter) throws Exception {
        List<Object> list = new ArrayList<>();
        for (Object one : (Collection<?>) call(handle, getter)) {
            list.add(handle(getter, (StateObject) one));
        }
        return list;
    }

    /** Everything below a handle that holds bytes itself: a file, a part of a file, an inline array. */
    private static void streams(Object handle, List<Object> found) throws Exception {
        if (handle instanceof Tuple2) {
            // A changelog's stream and its offset.
            streams(((Tuple2<?, ?>) handle).f0, found);
            return;
        }
        boolean wraps = false;
        for (String getter : INNER) {
            Object inner = call(handle, getter);
            if (inner == null) {
                continue;
            }
            wraps = true;
            if (inner instanceof Map) {
                inner = ((Map<?, ?>) inner).values();
            }
            for (Object one : inner instanceof Collection ? (Collection<?>) inner : List.of(inner)) {
                streams(one, found);
            }
        }
        if (!wraps && handle instanceof StreamStateHandle) {
            Map<String, Object> map = new LinkedHashMap<>();
            map.put("kind", handle.getClass().getSimpleName());
            map.put("size", ((StreamStateHandle) handle).getStateSize());
            Object relative = call(handle, "getRelativePath");
            Object path = relative != null ? relative : call(handle, "getFilePath");
            if (path != null) {
                map.put("path", path.toString());
            }
            Object scope = call(handle, "getScope");
            if (scope != null && path != null) {
                map.put("start", call(handle, "getStartPos"));
                map.put("scope", scope.toString());
            }
            found.add(map);
        }
    }

    /** Calls a getter where this release has it; null where it has not. */
    private static Object call(Object target, String getter) throws Exception {
        for (Class<?> type = target.getClass(); type != null; type = type.getSuperclass()) {
            try {
                Method method = type.getDeclaredMethod(getter);
                method.setAccessible(true);
                return method.invoke(target);
            } catch (NoSuchMethodException elsewhere) {
                // A superclass, or another release.
            }
        }
        return null;
    }

    private static Object optional(Object value) {
        return value instanceof Optional ? ((Optional<?>) value).orElse(null) : value;
    }

    private static void write(StringBuilder out, Object value) {
        if (value instanceof Map) {
            String separator = "{";
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                out.append(separator);
                write(out, entry.getKey());
                out.append(':');
                write(out, entry.getValue());
                separator = ",";
            }
            out.append(separator.equals("{") ? "{}" : "}");
        } else if (value instanceof Collection) {
            String separator = "[";
            for (Object one : (Collection<?>) value) {
                out.append(separator);
                write(out, one);
                separator = ",";
            }
            out.append(separator.equals("[") ? "[]" : "]");
        } else if (value instanceof String) {
            out.append('"');
            for (char c : ((String) value).toCharArray()) {
                if (c < ' ' || c == '"' || c == '\\') {
                    out.append(String.format("\\u%04x", (int) c));
                } else {
                    out.append(c);
                }
            }
            out.append('"');
        } else {
            out.append(value);
        }
    }
}
