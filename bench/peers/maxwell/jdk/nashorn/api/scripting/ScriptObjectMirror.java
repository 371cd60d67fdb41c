package jdk.nashorn.api.scripting;

/** Java lost this class with version 15, and Maxwell asks whether a value is one of it: none ever is. */
public interface ScriptObjectMirror extends java.util.Map<String, Object> {
}
