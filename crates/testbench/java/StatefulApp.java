import java.io.IOException;
import java.io.Serializable;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.apache.flink.api.common.TaskInfo;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.api.common.functions.RuntimeContext;
import org.apache.flink.api.common.state.KeyedStateStore;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.OperatorStateStore;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.base.TypeSerializerSingleton;
import org.apache.flink.api.connector.source.Boundedness;
import org.apache.flink.api.connector.source.ReaderOutput;
import org.apache.flink.api.connector.source.Source;
import org.apache.flink.api.connector.source.SourceReader;
import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.api.connector.source.SourceSplit;
import org.apache.flink.api.connector.source.SplitEnumerator;
import org.apache.flink.api.connector.source.SplitEnumeratorContext;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.core.io.InputStatus;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.runtime.state.FunctionInitializationContext;
import org.apache.flink.runtime.state.FunctionSnapshotContext;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.apache.flink.streaming.api.datastream.BroadcastStream;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.co.BroadcastProcessFunction;
import org.apache.flink.util.Collector;

/**
 * A really stateful application that runs until it is told to end, and whose snapshots can be held, slowed
 * and failed by files in its control folder:
 *
 * <pre>
 * block-sync, block-async  a snapshot stops there and makes blocked-(checkpoint id)-(subtask)
 * fail-sync, fail-async    a snapshot fails there
 * slow-ms                  the asynchronous part takes as many milliseconds as the file says
 * slow-record-ms           the keyed operator takes as many milliseconds for a record
 * crash                    the task fails
 * finish                   the sources come to their end
 * </pre>
 *
 * What a next release of the application may change is an argument: "max-parallelism", "without-judge"
 * (true: the last operators are gone), "recent" (the kind of that keyed state: list, map, or none),
 * "seen" (that of that operator state: list, union, or none).
 *
 * One source for Flink 1.15 to 2.3: so it overrides no open() (its parameter was replaced), uses no sink
 * (they moved), and builds its own source, which can end when told to.
 */
public class StatefulApp {

    public static void main(String[] args) throws Exception {
        Configuration configuration = new Configuration();
        Map<String, String> options = new HashMap<>();
        for (int i = 0; i + 1 < args.length; i += 2) {
            if (args[i].equals("--conf")) {
                String[] pair = args[i + 1].split("=", 2);
                configuration.setString(pair[0], pair[1]);
            } else {
                options.put(args[i].substring(2), args[i + 1]);
            }
        }
        int parallelism = Integer.parseInt(options.get("parallelism"));
        int keys = Integer.parseInt(options.get("keys"));
        String control = options.get("control");
        double ratePerSubtask = Double.parseDouble(options.get("rate")) / parallelism;

        StreamExecutionEnvironment env =
                StreamExecutionEnvironment.getExecutionEnvironment(configuration);
        env.setParallelism(parallelism);
        if (options.containsKey("max-parallelism")) {
            env.setMaxParallelism(Integer.parseInt(options.get("max-parallelism")));
        }

        DataStream<Long> events =
                env.fromSource(
                                new Numbers(control, ratePerSubtask, parallelism),
                                WatermarkStrategy.noWatermarks(),
                                "events",
                                Types.LONG)
                        .uid("events")
                        .map(new Gate(control, options.getOrDefault("seen", "list")))
                        .returns(Types.LONG)
                        .name("gate")
                        .uid("gate");

        Accounts accounts =
                new Accounts(
                        control,
                        Integer.parseInt(options.get("value-bytes")),
                        options.getOrDefault("recent", "list"));
        DataStream<Long> booked =
                events.keyBy(number -> number % keys, Types.LONG)
                        .process(accounts)
                        .returns(Types.LONG)
                        .name("accounts")
                        .uid("accounts");
        if (!Boolean.parseBoolean(options.getOrDefault("without-judge", "false"))) {
            judge(env, booked, control);
        }

        env.execute(options.get("name"));
    }

    private static void judge(
            StreamExecutionEnvironment env, DataStream<Long> booked, String control) {
        MapStateDescriptor<Long, Long> rulesState =
                new MapStateDescriptor<>("rules", Types.LONG, Types.LONG);
        BroadcastStream<Long> rules =
                env.fromSource(
                                new Numbers(control, 1.0, 1),
                                WatermarkStrategy.noWatermarks(),
                                "rules",
                                Types.LONG)
                        .setParallelism(1)
                        .uid("rules")
                        .broadcast(rulesState);

        booked.connect(rules)
                .process(new Judge(rulesState))
                .returns(Types.LONG)
                .name("judge")
                .uid("judge");
    }

    /** The control folder as a task sees it. */
    private static final class Control implements Serializable {
        private static final long POLL_MS = 20;
        private static final long LOOK_EVERY_NANOS = 50_000_000;
        private final String folder;
        private transient long lookedAt;
        private transient long recordMs;

        Control(String folder) {
            this.folder = folder;
        }

        boolean has(String name) {
            return Files.exists(Paths.get(folder, name));
        }

        /** Like has, but looks at most twenty times a second: for calls per record. */
        boolean hasLately(String name) {
            long now = System.nanoTime();
            if (now - lookedAt < LOOK_EVERY_NANOS) {
                return false;
            }
            lookedAt = now;
            return has(name);
        }

        /** What a snapshot of this subtask is to suffer in its part "sync" or "async". */
        void snapshot(String part, long checkpointId, int subtask) throws IOException {
            String block = "block-" + part;
            try {
                if (has(block)) {
                    say("blocked-" + checkpointId + "-" + subtask);
                }
                while (has(block)) {
                    Thread.sleep(POLL_MS);
                }
                if (part.equals("async")) {
                    Thread.sleep(ms("slow-ms"));
                }
            } catch (InterruptedException cancelled) {
                Thread.currentThread().interrupt();
                throw new IOException("cancelled while blocked", cancelled);
            }
            if (has("fail-" + part)) {
                throw new IOException("told to fail in the " + part + " part");
            }
        }

        private void say(String name) throws IOException {
            try {
                Files.createFile(Paths.get(folder, name));
            } catch (FileAlreadyExistsException | NoSuchFileException there) {
                // Said already; or the folder is gone, and the file that blocks with it.
            }
        }

        /** What a record is to suffer; a change is seen within a twentieth of a second. */
        void record() throws Exception {
            long now = System.nanoTime();
            if (now - lookedAt >= LOOK_EVERY_NANOS) {
                lookedAt = now;
                recordMs = ms("slow-record-ms");
            }
            if (recordMs > 0) {
                Thread.sleep(recordMs);
            }
        }

        /** What the file says, or 0. */
        private long ms(String name) throws IOException {
            Path file = Paths.get(folder, name);
            try {
                return Long.parseLong(new String(Files.readAllBytes(file), StandardCharsets.UTF_8).trim());
            } catch (NoSuchFileException none) {
                return 0;
            }
        }
    }

    /** Operator list state and union list state; and the place where snapshots are held. */
    private static final class Gate extends RichMapFunction<Long, Long>
            implements CheckpointedFunction {
        private static final int REMEMBERED = 16;
        private final Control control;
        private final String seenKind;
        private transient ListState<Marker> marker;
        private transient ListState<Long> seen;
        private transient ListState<Long> counts;
        private transient Deque<Long> last;
        private transient long count;

        Gate(String control, String seenKind) {
            this.control = new Control(control);
            this.seenKind = seenKind;
        }

        @Override
        public Long map(Long number) {
            if (control.hasLately("crash")) {
                throw new IllegalStateException("told to crash");
            }
            count++;
            last.addLast(number);
            if (last.size() > REMEMBERED) {
                last.removeFirst();
            }
            return number;
        }

        @Override
        public void initializeState(FunctionInitializationContext context) throws Exception {
            OperatorStateStore store = context.getOperatorStateStore();
            marker = store.getListState(new ListStateDescriptor<>("marker", new MarkerSerializer()));
            ListStateDescriptor<Long> seenState = new ListStateDescriptor<>("seen", Types.LONG);
            if (seenKind.equals("list")) {
                seen = store.getListState(seenState);
            } else if (seenKind.equals("union")) {
                seen = store.getUnionListState(seenState);
            }
            counts = store.getUnionListState(new ListStateDescriptor<>("counts", Types.LONG));
            last = new ArrayDeque<>();
            if (seen != null) {
                for (long number : seen.get()) {
                    last.addLast(number);
                }
            }
            // Every subtask is given all counts; one of them goes on from their sum.
            if (subtask() == 0) {
                for (long part : counts.get()) {
                    count += part;
                }
            }
        }

        @Override
        public void snapshotState(FunctionSnapshotContext context) throws Exception {
            long id = context.getCheckpointId();
            if (seen != null) {
                seen.update(new ArrayList<>(last));
            }
            counts.update(Collections.singletonList(count));
            marker.update(Collections.singletonList(new Marker(control, id, subtask())));
            control.snapshot("sync", id, subtask());
        }

        /** Moved from the context into its task info: deprecated in 1.19, gone in 2.0. */
        private int subtask() throws ReflectiveOperationException {
            RuntimeContext context = getRuntimeContext();
            try {
                Object info = RuntimeContext.class.getMethod("getTaskInfo").invoke(context);
                return ((TaskInfo) info).getIndexOfThisSubtask();
            } catch (NoSuchMethodException older) {
                return (int) RuntimeContext.class.getMethod("getIndexOfThisSubtask").invoke(context);
            }
        }
    }

    /**
     * One element of operator state that carries the snapshot it belongs to. The backend copies elements in
     * the synchronous part and serializes the copies in the asynchronous one: so its serializer is a piece
     * of user code that runs there.
     */
    static final class Marker {
        final Control control;
        final long checkpointId;
        final int subtask;

        Marker(Control control, long checkpointId, int subtask) {
            this.control = control;
            this.checkpointId = checkpointId;
            this.subtask = subtask;
        }
    }

    /** Writes a {@link Marker}, and thereby holds, slows or fails the asynchronous part. */
    public static final class MarkerSerializer extends TypeSerializerSingleton<Marker> {
        @Override
        public boolean isImmutableType() {
            return true;
        }

        @Override
        public Marker createInstance() {
            return new Marker(null, 0, 0);
        }

        @Override
        public Marker copy(Marker from) {
            return from;
        }

        @Override
        public Marker copy(Marker from, Marker reuse) {
            return from;
        }

        @Override
        public int getLength() {
            return Long.BYTES + Integer.BYTES;
        }

        @Override
        public void serialize(Marker marker, DataOutputView target) throws IOException {
            if (marker.control != null) {
                marker.control.snapshot("async", marker.checkpointId, marker.subtask);
            }
            target.writeLong(marker.checkpointId);
            target.writeInt(marker.subtask);
        }

        @Override
        public Marker deserialize(DataInputView source) throws IOException {
            return new Marker(null, source.readLong(), source.readInt());
        }

        @Override
        public Marker deserialize(Marker reuse, DataInputView source) throws IOException {
            return deserialize(source);
        }

        @Override
        public void copy(DataInputView source, DataOutputView target) throws IOException {
            target.write(source, getLength());
        }

        @Override
        public TypeSerializerSnapshot<Marker> snapshotConfiguration() {
            return new Snapshot();
        }

        /** Found by name when state is restored. */
        public static final class Snapshot extends SimpleTypeSerializerSnapshot<Marker> {
            public Snapshot() {
                super(MarkerSerializer::new);
            }
        }
    }

    /** Keyed value, list and map state, and a timer per key. */
    private static final class Accounts extends KeyedProcessFunction<Long, Long, Long>
            implements CheckpointedFunction {
        private static final long TIMER_MS = 1_000;
        private static final int MAP_ENTRIES = 8;
        private static final int LIST_ENTRIES = 8;
        private final Control control;
        private final int valueBytes;
        private final String recentKind;
        private transient ValueState<String> balance;
        private transient ListState<Long> recent;
        private transient MapState<Long, Long> byKind;

        Accounts(String control, int valueBytes, String recentKind) {
            this.control = new Control(control);
            this.valueBytes = valueBytes;
            this.recentKind = recentKind;
        }

        @Override
        public void initializeState(FunctionInitializationContext context) {
            KeyedStateStore store = context.getKeyedStateStore();
            balance = store.getState(new ValueStateDescriptor<>("balance", Types.STRING));
            if (recentKind.equals("list")) {
                recent = store.getListState(new ListStateDescriptor<>("recent", Types.LONG));
            } else if (recentKind.equals("map")) {
                store.getMapState(new MapStateDescriptor<>("recent", Types.LONG, Types.LONG));
            }
            byKind =
                    store.getMapState(
                            new MapStateDescriptor<>("by-kind", Types.LONG, Types.LONG));
        }

        @Override
        public void snapshotState(FunctionSnapshotContext context) {
            // All of it is keyed state, which the backend snapshots by itself.
        }

        @Override
        public void processElement(Long number, Context context, Collector<Long> out)
                throws Exception {
            control.record();
            StringBuilder text = new StringBuilder(valueBytes).append(number);
            while (text.length() < valueBytes) {
                text.append('.');
            }
            balance.update(text.toString());
            if (recent != null) {
                List<Long> kept = new ArrayList<>();
                recent.get().forEach(kept::add);
                kept.add(number);
                recent.update(kept.subList(Math.max(0, kept.size() - LIST_ENTRIES), kept.size()));
            }
            long kind = number % MAP_ENTRIES;
            Long before = byKind.get(kind);
            byKind.put(kind, before == null ? 1 : before + 1);
            long now = context.timerService().currentProcessingTime();
            // Rounded, so that a key has a few timers, not one per record.
            context.timerService()
                    .registerProcessingTimeTimer((now / TIMER_MS + 2) * TIMER_MS);
            out.collect(number);
        }

        @Override
        public void onTimer(long timestamp, OnTimerContext context, Collector<Long> out)
                throws Exception {
            byKind.put(-1L, timestamp);
        }
    }

    /** Broadcast state. */
    private static final class Judge extends BroadcastProcessFunction<Long, Long, Long> {
        private static final int RULES = 32;
        private final MapStateDescriptor<Long, Long> rules;

        Judge(MapStateDescriptor<Long, Long> rules) {
            this.rules = rules;
        }

        @Override
        public void processElement(Long number, ReadOnlyContext context, Collector<Long> out)
                throws Exception {
            Long rule = context.getBroadcastState(rules).get(number % RULES);
            if (rule != null && rule < 0) {
                out.collect(number);
            }
        }

        @Override
        public void processBroadcastElement(Long rule, Context context, Collector<Long> out)
                throws Exception {
            context.getBroadcastState(rules).put(rule % RULES, rule);
        }
    }

    /** A source of rising numbers at a given rate, which ends when the control folder says so. */
    private static final class Numbers implements Source<Long, Numbers.Part, List<Numbers.Part>> {
        private final Control control;
        private final double ratePerPart;
        private final int parts;

        Numbers(String control, double ratePerPart, int parts) {
            this.control = new Control(control);
            this.ratePerPart = ratePerPart;
            this.parts = parts;
        }

        @Override
        public Boundedness getBoundedness() {
            return Boundedness.CONTINUOUS_UNBOUNDED;
        }

        @Override
        public SourceReader<Long, Part> createReader(SourceReaderContext context) {
            return new Reader(control, ratePerPart);
        }

        @Override
        public SplitEnumerator<Part, List<Part>> createEnumerator(
                SplitEnumeratorContext<Part> context) {
            List<Part> all = new ArrayList<>();
            for (int i = 0; i < parts; i++) {
                all.add(new Part(i, i, parts));
            }
            return new Enumerator(context, all);
        }

        @Override
        public SplitEnumerator<Part, List<Part>> restoreEnumerator(
                SplitEnumeratorContext<Part> context, List<Part> left) {
            return new Enumerator(context, left);
        }

        @Override
        public SimpleVersionedSerializer<Part> getSplitSerializer() {
            return new PartSerializer();
        }

        @Override
        public SimpleVersionedSerializer<List<Part>> getEnumeratorCheckpointSerializer() {
            return new PartsSerializer();
        }

        /** The numbers next, next + step, next + 2 step, … */
        static final class Part implements SourceSplit {
            final int id;
            final long next;
            final int step;

            Part(int id, long next, int step) {
                this.id = id;
                this.next = next;
                this.step = step;
            }

            @Override
            public String splitId() {
                return Integer.toString(id);
            }
        }

        /** Gives each reader its share of the parts when it registers. */
        private static final class Enumerator implements SplitEnumerator<Part, List<Part>> {
            private final SplitEnumeratorContext<Part> context;
            private final Deque<Part> left;

            Enumerator(SplitEnumeratorContext<Part> context, List<Part> left) {
                this.context = context;
                this.left = new ArrayDeque<>(left);
            }

            @Override
            public void start() {}

            @Override
            public void handleSplitRequest(int subtask, String host) {}

            @Override
            public void addSplitsBack(List<Part> parts, int subtask) {
                left.addAll(parts);
            }

            @Override
            public void addReader(int subtask) {
                // Parts are as many as subtasks, unless the job was rescaled: then the last take more.
                int registered = context.registeredReaders().size();
                int missing = Math.max(0, context.currentParallelism() - registered);
                while (left.size() > missing) {
                    context.assignSplit(left.removeFirst(), subtask);
                }
            }

            @Override
            public List<Part> snapshotState(long checkpointId) {
                return new ArrayList<>(left);
            }

            @Override
            public void close() {}
        }

        /** Emits at the given rate; sleeps shortly in between, so that control messages get through. */
        private static final class Reader implements SourceReader<Long, Part> {
            private static final long SLEEP_MS_MAX = 5;
            private final Control control;
            private final double rate;
            private final List<Part> parts = new ArrayList<>();
            private long startedNanos;
            private long emitted;

            Reader(Control control, double rate) {
                this.control = control;
                this.rate = rate;
            }

            @Override
            public void start() {
                startedNanos = System.nanoTime();
            }

            @Override
            public InputStatus pollNext(ReaderOutput<Long> output) throws Exception {
                if (control.hasLately("finish")) {
                    return InputStatus.END_OF_INPUT;
                }
                double due = (System.nanoTime() - startedNanos) / 1e9 * rate;
                if (parts.isEmpty() || emitted >= due) {
                    Thread.sleep(SLEEP_MS_MAX);
                    return InputStatus.MORE_AVAILABLE;
                }
                Part part = parts.remove(0);
                output.collect(part.next);
                parts.add(new Part(part.id, part.next + part.step, part.step));
                emitted++;
                return InputStatus.MORE_AVAILABLE;
            }

            @Override
            public List<Part> snapshotState(long checkpointId) {
                return new ArrayList<>(parts);
            }

            @Override
            public CompletableFuture<Void> isAvailable() {
                return CompletableFuture.completedFuture(null);
            }

            @Override
            public void addSplits(List<Part> more) {
                parts.addAll(more);
            }

            @Override
            public void notifyNoMoreSplits() {}

            @Override
            public void close() {}
        }

        private static final class PartSerializer implements SimpleVersionedSerializer<Part> {
            @Override
            public int getVersion() {
                return 1;
            }

            @Override
            public byte[] serialize(Part part) {
                return ByteBuffer.allocate(PartsSerializer.BYTES)
                        .putInt(part.id)
                        .putLong(part.next)
                        .putInt(part.step)
                        .array();
            }

            @Override
            public Part deserialize(int version, byte[] bytes) {
                ByteBuffer buffer = ByteBuffer.wrap(bytes);
                return new Part(buffer.getInt(), buffer.getLong(), buffer.getInt());
            }
        }

        private static final class PartsSerializer implements SimpleVersionedSerializer<List<Part>> {
            static final int BYTES = Integer.BYTES + Long.BYTES + Integer.BYTES;

            @Override
            public int getVersion() {
                return 1;
            }

            @Override
            public byte[] serialize(List<Part> parts) {
                ByteBuffer buffer = ByteBuffer.allocate(BYTES * parts.size());
                parts.forEach(part -> buffer.put(new PartSerializer().serialize(part)));
                return buffer.array();
            }

            @Override
            public List<Part> deserialize(int version, byte[] bytes) {
                List<Part> parts = new ArrayList<>();
                for (int at = 0; at < bytes.length; at += BYTES) {
                    byte[] one = Arrays.copyOfRange(bytes, at, at + BYTES);
                    parts.add(new PartSerializer().deserialize(version, one));
                }
                return parts;
            }
        }
    }
}
