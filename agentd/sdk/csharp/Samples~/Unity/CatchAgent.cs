// Catch in a scene: put this on a GameObject, give it a ball and a paddle, start `agentd serve`, press Play.
// The mouse button takes the paddle; what you play is learned from. Nothing here waits: the game plays on.
using Agentd;
using UnityEngine;

public sealed class CatchAgent : MonoBehaviour {
    [SerializeField] private string address = "127.0.0.1:7331";
    [SerializeField] private Transform ball, paddle;
    private const float Half = 2, Height = 9;
    private AgentdClient _agent;
    private Kind _kind = Kind.First;
    private float _reward;
    private int _action = 1;
    private bool _person;

    private void OnEnable() {
        _agent = new AgentdClient(address, "unity-catch", new[] { Tensor.Float32("see", 3) },
            ActionSpace.Discrete(3), new ConnectOptions { DtMs = 20 });
        Restart();
    }

    private void FixedUpdate() {
        try {
            while (_agent.Poll() != null) { } // answers, pings, and a new connection when it broke
            if (!_agent.CanSend) return; // not connected yet, or a whole window behind
            Row row = _agent.Frame.Add(0, _kind, _reward)
                .Obs(ball.localPosition.x / Half, ball.localPosition.y / Height, paddle.localPosition.x / Half);
            if (_kind != Kind.First) row.Taken(_action, _person ? By.Person : By.Agent);
            if (_kind == Kind.Terminated) row.Success(_reward > 0);
            _agent.Send();
        } catch (SessionLostException) {
            Restart();
            return;
        } catch (AgentdException fault) {
            Debug.LogError(fault.Message); // refused, or nobody there for RetryForSeconds
            enabled = false;
            return;
        }
        if (_kind > Kind.Mid) Restart();
        else Play();
    }

    private void Play() {
        _person = Input.GetMouseButton(0);
        _action = _person ? 1 + (int)Mathf.Sign(Input.mousePosition.x - Screen.width / 2f) : _agent.ActionOf(0);
        float x = Mathf.Clamp(paddle.localPosition.x + 0.1f * (_action - 1), -Half, Half);
        paddle.localPosition = new Vector3(x, 0, 0);
        ball.localPosition += 0.1f * Vector3.down;
        bool landed = ball.localPosition.y <= 0;
        _kind = landed ? Kind.Terminated : Kind.Mid;
        _reward = !landed ? 0 : Mathf.Abs(ball.localPosition.x - x) < 0.5f ? 1 : -1;
    }

    private void Restart() {
        ball.localPosition = new Vector3(Random.Range(-Half, Half), Height, 0);
        _kind = Kind.First;
    }

    private void OnDisable() => _agent.Dispose();
}
