# Enables the nodes AgentdClient and AgentdAgent, which register themselves by their class_name.
@tool
extends EditorPlugin
