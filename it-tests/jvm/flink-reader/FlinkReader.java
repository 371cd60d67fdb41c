import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import org.apache.flink.api.common.functions.util.ListCollector;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.java.typeutils.GenericTypeInfo;
import org.apache.flink.formats.common.TimestampFormat;
import org.apache.flink.formats.json.debezium.DebeziumJsonDecodingFormat;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.utils.LogicalTypeParser;
import org.apache.flink.table.types.utils.TypeConversions;

/**
 * Reads values of stage 1 with Flink's own `debezium-json` format and prints every row that comes out of it.
 *
 * Arguments: a file with one record value a line, base64, or `-` for a null value; then the table's columns as `name TYPE`, in Flink's
 * SQL types. Output, one row a line: kind (+I, -U, +U, -D) and the values, separated by tabs; `\N` for null, hex for bytes.
 */
public final class FlinkReader {
    public static void main(String[] args) throws Exception {
        List<DataTypes.Field> fields = new ArrayList<>();
        List<LogicalType> types = new ArrayList<>();
        for (int i = 1; i < args.length; i++) {
            String[] column = args[i].split(" ", 2);
            LogicalType type = LogicalTypeParser.parse(column[1], FlinkReader.class.getClassLoader());
            types.add(type);
            fields.add(DataTypes.FIELD(column[0], TypeConversions.fromLogicalToDataType(type)));
        }
        DataType row = DataTypes.ROW(fields);
        DebeziumJsonDecodingFormat format = new DebeziumJsonDecodingFormat(false, false, TimestampFormat.ISO_8601);
        // what a table planner would set: which metadata columns the query reads
        format.applyReadableMetadata(List.of("source.database", "source.table", "ingestion-timestamp"));
        DeserializationSchema<RowData> schema = format.createRuntimeDecoder(new Context(), row);
        schema.open(null);
        types.add(DataTypes.STRING().getLogicalType());
        types.add(DataTypes.STRING().getLogicalType());
        types.add(DataTypes.TIMESTAMP_LTZ(3).getLogicalType());
        List<RowData.FieldGetter> getters = new ArrayList<>();
        for (int i = 0; i < types.size(); i++) {
            getters.add(RowData.createFieldGetter(types.get(i), i));
        }
        List<RowData> rows = new ArrayList<>();
        ListCollector<RowData> collector = new ListCollector<>(rows);
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            schema.deserialize(line.equals("-") ? null : Base64.getDecoder().decode(line), collector);
        }
        PrintWriter out = new PrintWriter(System.out, false, StandardCharsets.UTF_8);
        for (RowData read : rows) {
            StringBuilder text = new StringBuilder(read.getRowKind().shortString());
            for (RowData.FieldGetter getter : getters) {
                text.append('\t').append(text(getter.getFieldOrNull(read)));
            }
            out.print(text.append('\n'));
        }
        out.flush();
    }

    private static String text(Object value) {
        if (value == null) {
            return "\\N";
        }
        if (value instanceof byte[]) {
            return HexFormat.of().formatHex((byte[]) value);
        }
        return value.toString().replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n");
    }

    /** The part of a table source that the format asks for. */
    private static final class Context implements DynamicTableSource.Context {
        @Override
        public <T> TypeInformation<T> createTypeInformation(DataType type) {
            return rowData();
        }

        @Override
        public <T> TypeInformation<T> createTypeInformation(LogicalType type) {
            return rowData();
        }

        @Override
        public DynamicTableSource.DataStructureConverter createDataStructureConverter(DataType type) {
            throw new UnsupportedOperationException();
        }

        @SuppressWarnings("unchecked")
        private static <T> TypeInformation<T> rowData() {
            return (TypeInformation<T>) new GenericTypeInfo<>(RowData.class);
        }
    }
}
