// A policy by agentd 0.1.0.
//
// A row holds the numbers of these tensors, one after the other, in C order:
//   state  4 float32, from number 0 on
// Numbers are as the agent was given them: normalisation and scaling are inside.
// Actions: 2, numbered from 0 in each branch; the first of equals wins.
// A mask has a byte for each action of all branches, 1 = legal.
//
// The weights belong to whoever trained them; agentd claims nothing in them. The code around them is agentd's, under the Apache License 2.0.
// One file, no dependency: browsers and Node >= 16.
//
//     import { Policy } from "./cartpole.mjs";
//     const policy = new Policy();
//     policy.reset();                          // an episode begins
//     const action = policy.act(observation);  // and `policy.values` has what the network said

/** What the policy is: tensors of a row, actions, frame stack, versions, licence. */
export const facts = {"action": {"kind": "discrete", "n": 2}, "agent": "cartpole", "agentd": "0.1.0", "checkpoint": "000009-000000012320-kept", "frame_stack": 1, "last_actions": 0, "learner": "dqn", "licence": "The weights belong to whoever trained them; agentd claims nothing in them. The code around them is agentd's, under the Apache License 2.0.", "observation": {"state": {"dtype": "float32", "shape": [4]}}, "reward_scale": 1.0, "updates": 12320, "weights": "int8"};

const shape = {"tensors": [{"name": "state", "at": 0, "size": 4}], "row": 4, "stack": 1, "last_actions": 0, "branches": [2], "places": 1, "outputs": 2, "floats": 770, "ints": 16896, "small": true, "buffer": 128, "aside": []};
const program = [
	{"op": "dense", "in": 4, "out": 128, "w": 0, "scale": 128, "b": 0},
	{"op": "act", "in": 128, "out": 128, "act": "relu", "slope": 0.0},
	{"op": "dense", "in": 128, "out": 128, "w": 512, "scale": 384, "b": 256},
	{"op": "act", "in": 128, "out": 128, "act": "relu", "slope": 0.0},
	{"op": "dense", "in": 128, "out": 2, "w": 514, "scale": -1, "b": 512}
];
const data = "xEEUP9WHoT4hWxK+Fh4IP5ekZD3Seeg+Wi9UPujP0L7+s/G+DGwZPj07yb6Z7LW+e6gKvr9L+j5+Gnk+cseBvgI04D4HSHQ+PogwPw5xlD7sJ+s+9ofyvnUM0L7AtfK+oeFYvY1qQj7fdfu+bWUAP7lUFT8NWH6+Z4UlPqD6bD6sO7Y+TV4Evwv7lL50XMU+w8A6PvORHT+I7w89w37LvV25UTuf2L6+/ryzPp4oOD14QMA+u7zAvtp8vj5SAlg+X/aEPjttIj+nXLq+o1/IvtYlqL5OvQe/BlYDPkklq76EsAI/SnwGv4izib5a9PU9NCORvu55xb5naqm+aON+vozfJT8QXFi9GTqaPZXhvD5blSw+FfLRPl9xXr43qY0+i/X9PmojBT9Rujc+BfHVvkz/A79RvUI9v48vP+XUfr1m4xw/Ys9Zve655T6y0tS8CDrkPjPyQ755dBs/WjYKv+vBCL9IOuM+jabNPtecqz6J+Z4+nWasPixpm77RXb4+hPLaviyy57746SG+UmuavQAXw76fbFO+4BaiPqC7m76xHNk+D924votxtb7tgPU++XyJPkK6P74wRdO+FjaLPkhx/D5kYAC/AGrHPsVaYr4/niQ/sPUBPzwO0L7tWSs/srinvpUzwr5YwZu9QBT6PsIc0z3fwG++JF2avo2gtT7vWVg7+4Z9OxKe3zw64es7odU5PJcHQzvEPTc8yQOGPHN5KDziRNQ70VJYPJ/54zz/4Uc8+JO3O3SG3jv+ynE80D5qO0QnOTy5NXw7VjXNOw6z1TtIa1A8xnKHO5u9lDxYpJI8/ZO6Ox7hmzwMlR07KtidO/I0jjwNdKQ7XtGXO9N18TvenXM8oP5IPHMSijuQL5o7S+FUOydQLTyK/wM99TVoPIonZjyI8u06rIJNPK8avjtt3ZQ8aFA9Oxyftjv9ONY7dqJ4O6H3JzxL3hs7BXkAPNU0ujsfMLY7gXc0O85ojDu+J0E7bltyPOzezTurX+k6cvU1POCfkTxsUi87HSDrOuzFpDxGVss7OTI4Ozj92jujUws7CwiGPDMuPjuSC0o7TOd7O/eM4Tu0BEU8EemNPM16UDwi4047+8whPMUogDvGhxk8kHqsOxy64Tsq0ow7p4NYPKLCTTsbeZM8BW1bOxi8hDsBGy07bzddO+xpAjyi7307CmHDO2BZlTvUjeM89w6vO+OzHzz5YbQ8P9feOrQOoDxZROE6PF0tPOpbhzs10so6TTsOPMSfcDu/jiQ8ygNWPIoYBjq4YrQ78xyDOzehNjyfGAU73YmBPLOGbzvwg2M7jsGTPKV0Tjuwt9E8Eo7APNbWATxmZFE7BzXRO4iJajwgP4U89teeO/tTPLw/3Q29+mKEvflUQz6vuCa9K3S1vf4QgL6uwWg+yjV8PpWYUT45xoE+Z2NGvTTSHz5YR4m9k2uevcGsh7zF5TY+B3dEvX+GSj2IIZs+Pg+CPPL6hD4TJl88atU7PmKeob0tPnk+3Cp4PgguF7zT8I4+WPOWPnQw272TuJ8+JbUFPaJMUj4ooSg+MQbKvQ/rI72u+/q6bETnveGImL3pb28+cux6PvizkL2ZzUA9add3PudJOjxZXb+9/VdiPnqMdD6TX0I+l2lUPvovsTymW4s+9asMPqucYj73r4A+p8uaPrfvOz6vNnw+v3L5vQxAlD7a+My9MWXcvKasqL0D4ZU+pzUvPJvULj5vBLS9Co+lPvckhLtIg4q9vp4fPr4tFT4O0Hk9C1aNPp7F+rz0oTY+W9q+PUArnD6K3YU+1LcnvY9mlz5Kgnw+hrwyPjpLXz4mzz4+eNyTPmPEoT7JtQ8+UxGbumP+lz51Mqw+23svPoQLub1KLJU+B0hlPeCC172eiRY9WxGnvbUcsrzuiAO9iW9qPkBcHz3AI3c+GTEFPd9+TL0ovKy9xTyKu8gqkD72iDW92dTDPEvhKz5w9929ZCA6vYqp4T2S64Y5lpQfPqR/n71dM3o+Gz0FvimL9jyHuoG9wmWMPSEvMj7m/ZG9FNcyPhvxwjxCpqi9PkRmOuvcWDryFpM693iBPJ+fWToQ82I6isf/O0OzeTxTPoQ8cIeHPDq3aDwTUE860+K8PJqTTjqqWzU89tZbOsV+jzwO/H06IENcOhJkjDw9YXg62tulPELgVzoufaE8520/OpwfgjyWb5g8lOFiOnMDlTzb/Is8K5uDOnJNAz06xlE6BxKMPGBcmDygaVw6Y267OiqCaDr9EJs6/xGgOkd5izxur6E82wc2OhwIajphBns86jCZOsX8UjqKlaw8lECRPAGFuDz3h488CEd8OsZgqTzrZI88dOaFPO2hsDxZ4hs9MkuQPDlSnDxduo06EQmkPGnqUTp3UDo8WKdKOk7AuDwlZlA6LtN+PJPdZjrU1ZY8eMhhOrfvnTpadJE8+C4vPPDMdjqb3Io8WeNMOoVW8TwCtiA8EtSOPNFRvjwb8lI8thSVPDhVuTyMLDM8jFSUPPjKsTxokgA9FhmkPAj+7jzlaXQ6F/2CPGorET2TgTg8bI1JOj1DmDyPeVg6U2hkOtN/Szpgokw6TW5gOngDWjolLIU8V0JFOuzslDy2ims6XIFSOsjkNTqCxEU6YK+CPLILTDpO9XQ6lQ2MPNjpczr92XA6mWiLPJOEeDo/b4g8oJVgOgWDijxfQp86+9tjOr8Ibzry21I67MGEPNPCYTqX64Q8d7RWOnfqczpduLc9nL8OPl0yq7xdDYW97WTsO2Ybfr0AWEk9hUldOswy8D5wNok+j00gvFqN3ztfnFO8XVnYvH9pej9aHAS/8OSsPu5Sij7HNmc+oMC5PlbWNT7lxiA/XlKBPgt/Cj/xW329F0NXPAfbSL0bUS8/ZAkivBn2bbxvQzo9WyI2v93ZX71j+m691BMoP+Gf5z1PyoU9yepkvVgMKr2w8Te97Mg9PmNODj9aaUi95O+NvDzmNz+8dJG96F7hPKqROL3LlAw9fG0pPy/ph717KhQ9s3WkPu5dAj850Qg/BjXnPeMSEr2OgBi83oAVP8isEz4QIB8/fcxBPk8yqb1qF0U87FOpvqf4Rz9znz694ZsfvYanBj++I5I+mM4BPmOIFD963N88qy1GvMSxkjs/wpe9VFGNvLIrm7s+hYa7jGuqvO9hoj1wrx29GI4tP2RMbj57ITc/CGaRvYmVwzyHLuu89sBJvbARUT1nEBM/p/FnPsajZLwqz5880aBLvAx3J70cmwI9rDknP3MpOz92aFm8vJWEvu4pLT+coZw9I9IzPzGuVb3LIdS8WIlOP8Qr5L1Rf6A+nDwCP1Qu8D57xj0+x1+YvM0nRT8+sBi/xXtOP7hwIT9X7D8+fiEwPw+Zfrwr3yS9dhP5vBOnMz9/tgC9yoqYvO9l6bybk4o+HwmyP6nsKbybyFG9HjOnvNGbNT9MVYM9MQIPveVTCz9rRpo+O2u8PerHeb0byq0+8uMRPw/BwjwL7Xa9m75wO86thLxGB2c+zW8bP0qcpz6UBW4+ChLsPKkQZjxrCSQ/F34GPg+05bwoN6k8ezhxvllKRj+f01Q+6chVPp8bNj+OOhA9R8tKPxHkNb4IsFu/47wdvh7PJD/k+Mk9CNViP5WU0b7cQz0+ireIPhIwtD4yJPw+9EM2vGa9dL+V2Ke+bWk8P9s/TD28ECo/i2gCv/QfST/6Fhu9vT7DvI0G2j53ptA+BsjqvmFpUj8rHK+6i6z9PmKnUL1umKI9ikYRPmDLFD/AyMG5MrP/uyQtkTo76wA9Wg0GPTcuHDuw6ZA9AVhmvaCH7TwPeL+7LWgbvSVDabvk69A+uL4GP8V5gb1Mk+g8l/XsPnlGnj71CT89t2KBvcSA2TskotU80ALhPHBxlr1deg29SXQ9vcc0Pj+JC0u+piLvOyXgz7xjUuU8YpFUvBaTGj9EUG49NQO0u7i4XztVN7q8K9hivf6f/T1hy9k+BsA+vc1JrrwVtQQ/41ygPiRKfb2Iyo89m/acPuoPnD4Ty3K9R0CpvIfIQTwuAkw82acnPfQ/OL3B00i9+boGu1+n/j4JeN8+QZyOPCbAo733RwI/BSetPn6tNb14jVa9zJJ0vauwlz1/APGB+2QB7hHxCvcRgRuBf/LzB4fTMPfy8Q5/DP8k/4H21+wIfxf3Fb1d+Yr4zw6BNSCBf4OogelV3oHKnoESovjmaJqgHH9Tfwvo7DR9gUHfCFeBA0wPgU1/f4F/f3LyfzkG9Ph/M9rfgX+BG3/KUcFW9H+9CKL58mJ5zdMSgdG2Af0qCgMNRzky+Rb+VOfmMo9L6yORBds69lRg/X+B5wjff3DDCvcNB/A2lwF/VB5tQ1c8goE+NYHpXSIY7P8L338ngX8XMQe2NuEOBH+2Eze676IpgfZj9HNwNLnUngfaAuFmAnzkHn+mFcwJS3/SLH8LQFsceu0E+gZ/IAL/a7yBWn8Uf39/f3+Bf/5/aYl/9H9/f39/gX9/V3l//x9Df38Mf/t/gYF/f39/f8Z/d39/ctiBsdl/v3/3f381f3+BI5PPJYF5zep/f3+B1lh/f4GBTH9ZgRaB2mJRdO6BgfeBgX9/8IF/+QfM94E8cH9/IX/lf39/gYGB3SR/f/9Qf+kHMH8cHTVIJeQY3wP2sTmBt/g8wxvNGh93fxVUQiItJBkZxRTm9BZcKvYVKi0gJjka/gr1R0yhLQ8SK/sUqs/8fwkc7St/8NlAJd3X9FgiuN4QGbHQG76pcSzX3MTs3ujdURlHwxxd/tUE7HgxA0sDJMNqF+7b6cB/TS8P/Jy0MA04BNgJCgoO+gqlA1IJkLcLNAgjA5YNCKwICygHUAUHgf+vABwMCDnlCrwfDRAFCq4LDQsIBwwQ6A2B9dcLpRHEDfcgCxTpECEKFw4H9w0FCwcICQcG1hAGDv0P2kjbuB+8DhMHilRRmAa7sQ4KIwcLCsQOKL6dWRLLD5EvIKngDckgCgoLAQO0AYH/yQrRPwjPDk0ImwwLxwMJzAU8BgQLFpTi0Q0Qr+gVqM4EDwkIJxEEBgcACAu2EdYfSQOBBTcG8Z0KEe8G5f8UFBH5Dw0NChIEAATGDgD1CwerNEULEeUOPwa1gSjcGkTnDgIJCh0F7gsuxyLuCO0C7yOn5dr2XvJOy7WWsbeD0RAI7Nvxms7oJZfZ4AAB3+U2lOfbjD/m2+e65OguEP34pIHqgYHk8LH+hI/p6fXpnCoFiBfn/bQdqaTULebCkdzx6ivqCO+6FpeBihzvjtpFj98Mkx9Xl8Sx1rE0//EIT9nyqtONj9elwBC5sWfwD9WjQdPUxwvt9gkICQoIuAT8Cd0Kso0J/g8LDZENDeAHEMsJuQ4GH4GvJOoSEUzPE9SaCxEJD+QRBgoKBgkMJwzJGTgHTQscCBqBBgcwCu4EDgsKBgsPDwYGCAcNEgoECu0IMuD7zBURDTEHly7ZHR4gMAvtlQoxA5gI+EUSAhCBDNKc9sri1p/z8+vz7NQF8y43TOQ12eUr8SbfVN3r//DUru476O3TAj2z5tjtUbjdweXs6OTg3ubt7OP43esx7gfe7uzN3szfwPTj7SXrTPLq2uwz4O7y7PPs6enY2fnozOdRjpTAoyvZ2upKwVdd5bzi5SYh8f/up/WtGooI4I7tIOMIF9ISw/u5FQ8ND4UGWfaeDyAtEAwO+QWYCQq6CQ7ACMgPDL7iys2yCgyWnwrXsgYLCAqEDwwKDAgMDvYMpdAXB5cRyA2H8gcLzw6cBxUODfwRBwgQDAgLARQPCQI2Cg43tlmDlw0kESdP8dsHHi4NJtEPOAkOES8utdkNSwsNFak4Afo7S/oAAgT64wGzGC/zOA/6LfHA+DH58wH+6gQAPfb8S/mmqtfx8i6s8a5XAfT++qDqAP37Aff1PPPf2zQA1PRT/pIJAPvi+IsCA/HtJPTsAPr7/wQDPfkDDRL6j4QRQZPJ91D+20cwGer82vnnzvqmAkr4uAasEffP+rMS2UDPnJ/GHfHsp8FmuOQnIIzEPrI8gq3JPbOBrpKV+dBamrQYBfbs54yE6NGDOfavh8G1woSzhsjJm4PuhWspu7xGnvm75zqy+1eRSMXnnYTtj5XWsqTUr83KwsWQ/rWrMDGwsLu+xJ8ZlLdxir4tkfY94Paa+O8WoDVGty6hhysPn/iBYGOBwcK+hQ3U3gjYqOcFsFTdpwEpgcm5vqL34ju1y8ZAvtnxl9mD9oJLEdPG7qtT9L+vuuyU1vXTVyRrytuBtbAfs7iBEbOo2YHJ92S35YHE9ubT31yB6oJFx9Tv4WQeE5fpvL9K1PvNsDvYojLNVLbwwsjrAMmBp6zQIr4y1/MjtvwIBAjz8AajCfz1Gsf9MfgB/dP9/RsE7SoA6wAF5g8N3rDv+ZGt9cXPAwAH+vv0Cv38CPT8vfzI6/UJP/fX+9u8/gXB/1MGFOz1FfbvCwX4BAkBLfUHDNYG7Sb/07nF+bsCrfvGye6XpPQaqwwMDB0DNifW3vahBpU9oGngrQrV1NvhyaRQ1Dgoo79/Ib311S+686bKF9S7ptWpxsvi7C3QsLLam9GlP5TMyca1JtLHxcPnscrj0w8bCsvurQS4MzC418zIltzIrOIltMbEyJ/Xys7TruGy3MswPUatVe22nsyxNjc8nDgPo7TW3/LGB+DksuO3rsa/w+a/PIe6TUFGgYGBgdyU+fj2lFq5gbWRRZ/e0MrTgYHJsh+BgXeU8cXejIwRo7QDrouCnIKXi4HEkLiRiM+MLjD1m0CJSIEaqYGCEINwqaGBlVuGo9SB97SKueHGuycNgS1Uk6d7+oEmgcbUKkuR5luSIMyB6IGMgZkm+CDDhIEnTUrODOeGUeQHAwf0IgLy+evf+4z9udQEA8337NXr0vsJh/YBGwilPhHV0rGi18bXCNQK9t3F/+r8BtrX19v2+9oDBN8x8unn+gH745oHA8jXEdikBgClCAkN8uIFIx7+74FPwcdC6hjyFCURZZjgucsDzg0D+LoJ0N7d5uoE+JmD11TnEOMjKgYFBQLCAhLliQi8rAfnCqoMRA4L1QEOwwbzAwP0xJaR/AYGegwTIqoJBAoEHw0FDgIECQrqA94nogJGBxUE048JEggL1AYUCwT3Cg0QAQkDAgssDgEUrgjv3Z0ANrAK9QblnZWTDPTLDsfmAAMCGAToiiAIDzMBAFckQ9AHDCrtDQoJDxYKOAIPECwRD74JgQVHCRMkEAoJBlIJDtnWhRCiDgllvg7gywwPAAaoBQoUDAcOCYsJQfxECiYMkAyXJAsVzQo6Bg0FBvYMARkH+QgMAzsQCgwICIrusceq4A+xCDoF3/H/1ZIL+5kL7BKpCrO/PeAOmg3lBSPT0N7No2nLzLSelMsMf97J0pLVILnE2JnN0uSM4e3Y3InQNsTtMjDjpIPz1fzG053OySTbsNPE6oGE+4kaDCfC597A4aRRxrlMgV3ZraTIQYHerNHm2rncr+zkyMrY/yne6tEp2JuXBzP6EJsNG9Yhmczpk+vPxyG3Bda1jZ+Y3siVFLiB4wcGBwz7Ao7j3Q3Pgg+0CpP8GgwM5wsT0ggEDAkDCvTtxQsQr74QEMIFDAMI5g0IEAkECQjjCvULvAg2CvAPgQ4ICYsKPQQTDQv8EQQQCAUGCgSOCgMKywa8H8776SoPOwmJycesBEsaDNC+BtAPigcQ98YmFCEP+dajR9Dn+9gD9QT/7iQFpyor6r7W8AXzMf0k7/PJ+t3oAEz8/i3m4SmU5PB4weAtgQTwAvVU5f3x+Afm78Dxr/RcAKHn+vIy+Pf+qvESAvzi7Dfj6Af49QECAhfnBg82+g4mTe2wp+/I/wKr7Djs0Rbo35sFBfpH+e66QpPspvrjIA8isAzQiRcIAggLLQVN+PAM9vUJ3AucD4YUDLcLEOkILQUM1oXQtqIJDZKZFhXICQsKE5wMBAsIBwwGzQUpKocGBQyyDTK8CAv9BiYJEAoHBA0LDAgPCAcOvAsKH0kH4qjBnhq5EPYIGxBcmQ79mRDQ+gsBCrgDCM3bnBG1BDut9LjKDicdDgIIBwrTB7r66QPZyQMNBdwE4wYLCwMC4wS/Cgvtq/f2sQMDSDkO3i0HBgIDNgcEEAMCAgevCQUZagPGBsICDqoICgEKFAQPBQj5Bf0KAQQDCQaZDwQQNQrM5QMCKJcDsAWzk850BRQiDfntAggGJwTu46HzDbMENt3l+A0T1ekOCAQIBPUE0AXoDEioCogN+xIWEQ3XBQzICT4EDNiZRa0XDguXuRGxVAkLDQvaDwISBAcLDP0IQyi0CfgHswbrjQsIRQMiBQMMCf8JDAsJDAkKD9MOBRXwCkySw9QjCQ2TA4NFOM8TgxkRqwoE+gXoApGQvJMPkwEXkBLGKJ6W3CcD9MDP28pHNU6fRovEg5KZyinBntatkK7Vh7HDGt0K5h2XnW1HjNFAw5vCvPWKyJrR05yQFpbT9EbG0p6oyLEPzwfMpe7S/5aV8JuO8cjE2L/Ts9LQlTPAl0dwxrwpzvK3ayzzRoWPgZPR0PGKtZv6AA7TsMPMt0X0r6+2/zr+/gL5A/9JAFb62v7aEwIg+q8BmAICuwABTwA3AAGq7EckQQH/CLL8RpwC+f/63vz9AfwB/Pk+APQCKf0L/PwA7/IB+eP9wgH6+/oA/v8EAwD8/fzB+f8CcP3qH+ZcPRMAMv/jCczN/vBA+tNG/Fj6Sv4FB8I9/Rr/T1EHqASpu7oKAvLQwA7aKSKzqL7LzKWzs8mwt8LByqbw2x7Kz1ELsRyQl7aODJcjI82qzLwGnNrDyd2ltRGyySa5zaqc+88xs80FJ8QH0/uSr/epg+jXm+DM3Jmx2pim1OKmzq8E88MR0vD2zcCD0QKJq4Hv0dPJAAYOp7W59tAluBUNjOhATS7SwJaChoHhuKbe+kC2G+ejs3Lc8NrQ4KiXgr6xwJUX1BTg4JAt8N8zpt6WkgDro++Dns3VCt21U2CBGtjnxMa6oNTuzbuP1c/rUc8S5MYpmoGWO+qf2aa0Qh4E5oyXwMLAlzXyR/Q51+rR37YBvFnR9AMYWd4xuBXcrib2CYna2AYJDwM+DcQujQkX9gUFDhkKugUKsw4FlAb5DgguLSvdAwkJq84JC5gJCg0FhQUQFAMJCgqfDZrhsA7qCygD3gkGFHoLqAsLCAb8BP8XDfgGEAu0BwkIUA3KFBAEIiYFFw/Cog7HCkAFCdc6DLUSQwvZ+PcrBtwK8CmsPsfK91Ii8vTr+2T1nBShu9U36Yy2qv6P5rfswbyH+wbM6Dwi98q8ubeVOb0vleqwBPEtp+zE+/fLuwS38M2y9h3DD+hFJ/DkhLrd+e+/tBjBr+nbsPz1BK7n+QTN4079PFLR2+mk1DCa1rqugae4sqj4FdDc8Sab68vdL9PuuqTtyA4nBpcLCQgQyQntAUQOsY0Lkw/pBRQQCyIODAwJ9xEMFNMjrwAQC6mBCtREDREFEPYKCQgMCA8Qqg4BwV8Hww+6CALcCggsEFMLCgcQAQsGDgwCBQgH3QwIBgEIthXDHKoxDjAR7bL3gQXcjQj0jAu4CIsQGLMKng2UD1Y4kv/KBRPrsAsLEBHODsEFGgtChAwUEUoCDAYIEhANGAUcEgrm45QqCgUNUUAGL+QHCwMLMw8SEAwJDBA8D5GFMQiKDr0H5ewPFYgPGQwXDgz8BwoSDggICwPHCQYMBQ/Iwqmmt8UK6BM1jq38Bs1AEIsBEqMQ2godLCbuB70O9wUBMw3ANbkH7vHj9OvtRxRppDDj7NSCNvm25Zy5p6W4+h6/6UUrIeyWtYjAO6Q7lOWO+OykgeWn+PK6iAqNqfI09IbFnOK1PezfyKIr9eeigRuok+bilP3p/+Dj8fGd5wHaU1q1+egSzSdD9F2BQvSdjur05Mbd9BIwh4rdttEKyQEq1vzK34QSFA0HRQn+AEwB0wEMlghKAhEFBwkMBoECCQ0M+db02O4EBlyK/g7KDAH9CYgEEAgICAUGogIVrVkMuwM8CbDSCBEzBrwGGPoG+gH5GQ/6Ag/9AQEFD4wPlTyeNaKdB5QGnI5tWfIVkAPuGhSRDCcOzUEIo//rDkvpt7RNCvTvDQcJAwXcACTwVgeXJAjfAhAPwgcDyf8DugTb/ggfD8fT+gD/DLYG/5ULAAgLmgH//goDBf2r/8M7pAeLCJ4J0qkJEcX6wQIR//8B/QQOCQMCBAY3DAIN/AcAPadj8B8IiPur5/wMB00dCPM7DIH9qQrRJcyOCRj/6qBLEBwLN7YlBAgMES4Jx/zACxMiEKMTBAxsDgrKCw8PBkAECurNDw7jDhIvAw3pSAsSDgmjDgYHCgcKCucNKw88C80U/BEMrAYJnwyDBw4QEgEIEQwNEwMKDAMRBQUtBpsegbUD8RHFCRDyr80TDB0NKvMK+ANBC+kWGv8Q4AfAqxKFAbGDNBMJ+brU68q5EvCwEvjGz6sm1LnEpYG5qPHTR7fEEdZMGNaosqwCqiI6wrbOxL6jy6bNy7auLq6vKyTHvrD9yvP0xxxIs+PM/8GozbSs8sfE17/RQ87NjtPI5Nienw9g0iPBAU0GirJczqjroPOyu6sGOpAHs8qIwTMK3vbj0N0xG/L3+vooAa4WC7urRPX3s7X8H/C++8jDAQLDyPhZL0rWPLuySdS+9Aj9qgP+w7bxxP/+w7gHt0jiYQKyzxf6M+j64ePAswDcu7Mjwbrt8MgAAgJQ6QEd//HvIU3cpLrq/9Hmgeo+nctTtCCu9OfP9vEH5E6z35PMBzLFNboImvHmBQUECTYJsfwrBQ3GBf0MLQGICQsPBgLvBd8LCjC46cfIBQmtKwXjAQgKAQPgBQQQAgMGCMEI4vD0CBQGvgG96gYG+Qi9AxEJBvgIARIKBQUK/ysEBP30C/maxfLT5ArvDoo861QMCZ0JiiYN/AkUDc+d9T0HJQknDKEwtAvaPOQKCwkN3gk2EQ8LEikJHA/TBz4HEocJBRYEIQsPvQwzwxQLB+ofD828Bw4EC4IKDxQDBw0NogojBfIKWQvcBRgaCQ+TDV4IFAQK8QcAGQ39BwwDywwHBdsORETAAKI6DQsQjg9DTQocpxGoBgmzDiIIoCKYowupDsidLsHBFC6d3w0JCBP3CP/ylQ7JORA0CtAFzBIQNgkL9wiqCgoFBS+LEhEOm7AQwhIKDgITxg8GDgkHEAghDE4TJwwrDLoP+J8RFKEMnwcRCw79EAsNDQoFCwayDQgL3A0y80jttkAPvguWzq3zBciKDK7kCi0LwwaBBt6LEFEI7Qeugtb0kNHc+fn2+dX7SQA0+ZHK+jj03OW99PaW+vYt+p76+sDfHBu87/PMLu/QGvXu7PHU7/Py9vnx8gzuIeSP+132sve10/j//Pe9/ATp9A/07f349fr77SPv/f8T9MvxsQ7GVPJI95c2m4HbJyDvzPf7MvvEARZCzDv46/tGDjYMDgOX30D34cXa9q7t1q0Ir4vWGwgW0Ln2ECYEBeK0g/nJ1On/3MYHCYmHEAiHvwewu4oI5BCwtwAJ5gmMJAK0Pv8C5P240+3eA7ez+g4MFQQaBuEhu7G7BAS1y+nJJ+MUDeX75u337u+BAyjI4w9HOtIR+v/xzhyU//6K9i0ylIy79zv2FPLy/voa9u/mD/jFhfgY7rTi3P/y2vn7yPG3+PjdIJHi+PjxqrL5Bh/19uP53vL68vvv/fDw9dn2WPcS9ib6pfD866P6Ifbp9vcb9eXs9wrz9+jm+fIKxfwwovLxu04BWfXt4Tro3FSr9tTW+aHy6/uaRKyg+hPzx6sJOwuzyiBE9OzD3WnVkjACojvxzdOv3c/evqVOqMLB2TKnwsTKAy29xaxGOLov1sehycQxys6q1tmoohmlVsOTzN+30eYtbs32SJ3q2d+ltf2l19nN8NnK07bz2YanzJq12kba08fgsEA/QZKr78/DHD/jv6xY8RCmEK6yoanoUpRFthAIAsMQBg8T4Ak/BJoK/ZsHOAiBACEICi0PB6kF/w8H1sr3CfgNDJ2gDcr4DBACCIwLBw0HBgkJOwcg7pMIzg0mCNKuCAg2CaoLEQkPCRAJCA0KBw4F1Q8GFUsMQp4ZSbWkB9EMAKc6vggQOAqhAg35CaQMucXQWworDfDoEz7dxKeY3/Htz7zB4LJLDt0T2NPr7OPQvcjqEebFt94D5dr+BrrJ9c3qtO2/yMXg68++OeTd4c3ryuYd8AHjU9Y1vwDPuvDO4yzn/uDc0PAx1/Hh4/XY39egwOiuNdj5XyLOe8DA2ePdhDah6rY52wsk6Dvh0O3uJy1IylTiP7iyy7sUnAQb+wEIAE4E/gGFCtrvChgJ7RGEEgxBAQuYBCn+CDCXLIHOEAeb7A63hgUJCwbEEQQLBwYLCqUFOzjYBwoR1AnNqgMNtQbrBQILCgYFDgwECwYECKwOBhfkBO+vI0Usjwi2/ESuohQPtZMOAAX+9QSv+gLCMC0MjgThpE2BIqjqNRXq5cDSW8ymJp6YrYjJzokC2P/Gjc6Xlarfu6G+Hc1ctNmXhJq3l6c/v4PdxvmEwofb1quD+IjBIbfO06XjxIojyuNikAnU1ZyGDp2Kzb2Z4sTjt8nUsRTCCwr+SjPRyBSn5S+KoYEz6pPy694opJzpEokUPb7cp7rLR+iKCPeQ5QoHCgM2Bh//UAOyAgIpCMMHH/8MwAgC3QExDgmi3azbywQMusEI1skDCAUAxQkMCgQDAQ2eDx/ouwX7CqkA4MgGEpkN4gUTBgf9BwkSBQcFDACQBwUBwQUR0ZafNN8IQQgUJ0DoERUqCrjSBg0PgQa2phOOAfUOAjgJQP4LoP+1EhMOCMwMBhpEED0RCxgKCgkEBwkJDQXECUoSCMfqDpa6DQtJBgcrRxALCQuGCBENBgkIDt0Nts2JCLIF3w2nEgkSmw2JCB0IDfUJ/gwN+wgNAw4ICQQyEQzfW7/eUgceDhdTFSgCvAAJ/90KthQ3D8IKhx0I/RQUNNRKTRaPlDYOBQgTxQjo+/QPBI4THBOCEK8REQ8MDJ4JuQwKMATtFhATDE0fD4uZCxEMDtITDwwOBgoPvRCZ9SoOzhM0D+iIEBWvDLwIEw8PAQwTCgsKCgcL+hIHEpcKjY8L0Nn6C7YOnP/quxZNBxXGkAgNCyEFHaYPCA0vD9qbx9akCiv7zQoNCQj1CCgP4AigNgqhC7MDsA4REBEOlAk3EQ+/CR7pLggLh78O3RIJCwUItAwOEAkFEBHCCjrfNAo7BxoHQ8gQB8QQFwcNDQ/9DAgTDwAEDAM7DgkFlwysAZpF/zQIHQ2+6tmPDBzsELDrBpUOMwmajbsxDBoPtcPJrJHHOs+D5u/wzbv25wg33OE66ED57cUTx+BX6ubp6GHo8TE4FPcC4vl/Qcr3wurvzNsn8erX5/ja8UD5rBAW6hTWK+PGJ+K+PuRO8rHS/y7h2Lvx8OvswsnG9cPU80QmHC3by9sW5lAGWhyoA8vRSUvxLOIq8R7KtDDCX+NrK6ZeQQGaQwQEBAUDkgMGAGACqgcAAAYz/zAG/R/+A9QD6AIAEubD7tIA/w3K/8fBAAcD/QADBf4EAAAF6/4DAAYBrwBVBebW/wKqBVYACQUAAwIAAwb+Af4Bt/7++OUD0qK9AzVYAxsACt0ZiwTxVgX4zwZSBlr+KfvpLQDI/+tQHd3zEJsR0BgUGSGzDzoCFA70Sxr3CLDqPA0K3xEVsAG1EhQI4/SgMhYItIYLxBAUDvQVzvwTDw8GEQzFC/m7UBBVGK0XkQsTFM0PUQ8UCQjiDdoTF8sEEOjgDAQXtBYNRcuhr+sWLRVn8NGX4MfRBQS7DtISNxK8DwoXDT8Ql9pLsAT9GTdCEw3RqRLLExpfyPKq/0W2VfcDA+bmouY/1ZS3/tzpxeEQ65sZ5PIWCgSX7PDs28L5yeSbibuQ30LTyunsGwRG/OolPY2S0yqTvc+S1xz379jD2fYW5Q6uBC4Ixu4ETe9JwN0kfqOColLe8/MD8r4gBsFVMUsDXbkvy+AbxAgejw4MCgsEVQVb2MMKqkcYBA+TGpMIB+kFDggChwAWO9PTFxUPCqXY/drxFAMSFiAVAQgGBf4HlgMlO2kDvhS/FkEFCA+bAxAEEAYNAf0TCAsSBAMFrwgGBsoU4/sPhx1GCx/+AuvBZA8xmQfUqQ2a+qsF+iQNEwUl80patVjRALMrBgL8/wPk/QkCWf1YpgEU/y/+c/v/s/8FUf+v/v2Y3dhDBAP9NKL/9F8DAAD8Wf4AAv7//wA5Auv8Ffz0Ac3717oCBhH8Kf8CAP7//wEAAgMC/ALW/QIGJgU3Y5Lp1UwF2QJA18NYApuq/UDhACsAPgL1ydzgAM38O80rt80HESO6Dg4KCxoNSw4LCcJHDS4PQwRlDg3aEAeJByINEdEPgRDVCg8VrQcpuA8TBgkVCQ0JBwgNETEL9NSsDbsFOQevEQ4Jqw3gChgOCvoLCBAKCAQLCAgHChFZCYfkyha/nwwIDvWXe/gOueANDtgMAwz0EerELr0L3Q7EATimSf7fzwr7+wH8YQUt+tL/Wpn8Xf72A6UEAU8D/NsCHwH9IPXAM88EAjBF/xw3AAEBAK8B/QAB//sDHALO+x8DMALUBf4fAgcXAbn/BP39A/sC+vz9A/3+Rv0DA/MAzMNh7gy/BBf9H0hHpwT6H/sHzv/o/MEBDgywWgMt/fU/28Hq1rQfGvPw8PWw964G+tszie0V294BEPrbJ9jWBP622+3f3f/XAdDYZLjU3p3z1P/2pNn30/z66d/u4dbSxvYy1AjxxrXv67DjCvzi3Nkk5t3z5vf8+gOX8fsFN+9mRJDImuTyWt22uawf2Sne2a4f/IjijPDerxGj65PfIOjHGMAK8yhJAQQMCPsIGyflBdaMCusBCxJnARIWAP6xEtr/CgjvPs/PBQHx4RC1yQoEFgwpBwgPCwwFAxoH8BPcD0gKYP0j+gcLzwKHDwMKAuoK/BAD+xUJG9YIDPoaBD2jauVAvf2iB8jn5y0OMuwSM7oGiQnz/AsRlVwF9QSpram/OAI/MAsCBP8GRAAR/lX812IFEwLKAOoD/Q4BAVUCWf79Jy6nMfD7/fn1/8ynAQD8As7+Av0CAf7+1wO4BuL9a/+3BDoFAvoN/Nn/AP7//vsD/vwE/gIC5gQC+zUAIwHAkzNEA14E40hwrgD2Rv/DvgUP+wYDGfkYEvxa/NG7BBXWjAvGJO3rwMwKzZA3/aLtGLuGoZq/QraivLKQvtPmrbe+KEDavoqmLCqFOMW3ncay8JTJk8zVrZ/MnjLOC8gJkmPITMfB8zyqE9PgpqgJp6PdudPVvtEtyNSBwLnnvKbvEmG5obPsoP39p/QujM4v68S05fQEu9O1q/StsgIsjwjwlzJv/uezkay1PkkZ447I6Kncr9sg1ucvpgPrxbOV3QoU7QXZAcPoWu+QJNS7v8qO8qTyrdOdnzGnTvq9rcj8WfEpGcIF25M/weXB3/iW7dzr9semvl8J0LLQ5dKmTcem4eUZoU5QqMnJXar7MsDi7prc8+z811Dit5i2z59f3f46UwUC//3/8wFHBEz++9kCuPwh/bH6AiX597ABBgP7VyXvBwr5/iLC+Llp//34AM79AP8AAPz5LP/z+aP+z/jM++wOAf72AvIDBv76Afr8/wL+//z/AvkDDfkBtt6yPqadAp4AD5tBV/nxVPz4UALC/1z6veUe7QEL/kEM9cINDoEj8wkMDgwkCRMJRw83iQ0yDvEN4RAOxw8LqgX9CgnE+fnevhAPo6ENlwIOCQsQEQ0NEg0HDQrsEMIFNwvZDqUIAK4HCLYJlAgSCgwBDg4UDgcIDQjcEAUOMAqc3Nk5sa4IPAvyE5X8C+mVDi25BDIMNQX87QWNCu4MnJ+wHgjxPOM75Mqcj1iDWZLt7+ajuf34tbVf5QmI4e2qlifXs7rJtAjE7vdzLvoB+qbvjZUS/bP+gZnc6pzzL1Bkh4nqH803RKrbM+Q1iuPp/0zhHvPONpWFkBn4m8XhtsYBGiAMQ8c91Ke/A7ESWOr1yA29gdFq29A7yhfuT9EOGfomDww7sREVDhQL4hJrIdsF7M4I9ggRD4EDFaQMCd8K1wwMOs4CFJkJBrueByPpDQsLCtkGEhQGDAoMBAkWCloO5AYIBCLHBxWnCbYNIwIG4Af4JRDvDBAKgQQPAPgV9D/G3revCgwOtTArtQCT2xGwyhYpDiMSGdjbuQq1Een4QPMWC+r5phARCAkUCPv04AsuRxDPDc3/ZgcKJQoQGgWkDQqn/LKqCggNL8oKIqALDP8JnBILCQYECgodDd/DngzTCLAPhrEOGNMMHAQHDRL5EA0KDA0FBgMYCwYEQwbtlglElIQMjw3e4DHRB/67B4KVCBsSuA6yJSWMDrkSGSNL8xMDngYpDQQHBLYFkOgEDJecEzgJyhfXEgX6/w0EBOr3DpPFuAW4DAYkxQLxHA8GCxKNDQUFCgX/AjMIqERTCB0GvBKIrAQR7wQBBAcACgUDDw4LDAMHBeoDBA/KE4c6yV/uNBKr9xXUhqQIyAICntkJH/meAc8Cn08HRv7RPA4wgQiR3vYCBgr9mgk2BSsHm5EDuAqpBw0GDxgLCOIF9A0KobrLlMQFDRDJA6TYBBAHBTUHCQ0DAwQLygqd+RMH/wshA8u5BA8NC1ADCgQL/AUIDAoNBAUH5goFAioG8iX8m8C1CF4IJFS0jhBI5w+t/QnDDfgIsg6pxguyDizlq5Dy/hG1Gvj6BQrC/OLYK/MySf3x7Rzu1v343vf3kwKX+QHxHxCgxfrsDwj13jgA6uwNB+v59QT79+zT61QgMQVS/DgH5RAA57vz+ATu8OkH88zz+wH+BOoC+f8Xn//Gp0NB36cEP/XlLS6e1EW09e48/db5vPaiVQH1/Oj7DM+FwMUOyp6rBxAJC4QEvQQWDijpDDQIF/2eDQ2hDw4iBhkPC/vF7gyuBg3JPwr1+goMAQziCA0ECwUOD8MMJqkjCsoNrQeYBgoSiAueCggFC/cPAwsI/ggLBYgIBQqvCUq/xMHaJAzTCoHOOvr+wyUP3QgOgQgQCLgDILQLGwz789QFzA8KkMESDA4OtwiR/b4N0PQLrQm0Af0ICAkPBpEHkQsQ3uO4PrYPEMMVDruWBgoGEYoLDggKBA8J8AkH4bYINApaCeUmDxlBDxcGCwwP8g8LFQwHBQ0I/wcGA7YOnZ/cHMD6CI4LSUjSxQRFGgWZBQ3ZCvENNDYNgQtcDCS0ALaaDyQj3AwKDw/mCaj7hQ9DGxHpDQQADhcMxw4OLAY+DwgBoS/OsxELXBcQDCQHEgcL+w8LDQgHDwuhC9UT1Ar4D74MCu0NFbQItQkRCwsDDQoUBwgHBwWwEQUP6g89CV7DgcoP7Q6+7FumCKAHE+0GDKoH1Qq3hiEkFakHHiuqzwMGu5sgAgYKBroGsAWBBCxOBhAIMARMCBJGBwUCCJMFB9O/nLAGBgOzjQw7vQkGBAURBgoSAwcCBMsE7RnaBY8HgQKiwAwUrgunBRgEA/QJ/xMG/AcIBj8KBhPTBvPmlrlE2wmZB5UZ1V4Bce0S8sgLwgcyB881v6YNsgXIp0vgydfV5xsICPYCAPSl+DTJv6n4AcdMAEvw0MvTzvLzmdruFCsU38vVzggC1BT988z39AjH+tH2797RxNE6yyb2EtnY+/cw+wvt0PLwBtDL8NTIA/TV9/X1uvnv9Az1oCOWzehT7yzd8q/X18uMNMWo6wQB3gQKGCLzgu7D3EaWXDa3jRHKE+7no7wwuAo+NYEsk6/egavCGK+DmI+MOM3VnKsnGRT5RYGBd/aBKTKqgcCmHIKygcTIk4HOgUUnsbYCla2uMJiv56qKPsLRn4b5i4/QrafSrM3ItMWH4rAsCu/v4T23ZpvdJYbUi96Lg8qq37SX9fAuHrMwsSelG6mE9scEKLcW6/Pu9PHtGcn5+kTj9YH3GN4zA/u3+PYU9TDy7McDPtbK/fIZkAEI5O324/bM9e78+Ov88/jynAGW8SD63/eGvu/zgfkU7/L9+yH36PD1EvXq59MF7gME6QFMNkAu2PW298IhbbDYAxb4DjPt1fCS9LkfyOz7rvHe9YsVhguvJ90KCQsJnwji+cQMvO8Jug00AdYLEbsLD+QGrAcG/LH+wOYOENAEEaXTCgr/CMgKCRAHBQ4PowzP6BEKBRKlCwMhBhEaEoYEFgwMAQgJDggIBAf93g8DAgEFOJeoiBItCSMPNk26/gfHmA0nlAkJDjMGwLA09g3OEY6g9hrhDTfiNQUICg4CCFwOpAuc2xin/QUUdRcGAPcJkge39hQbxY4/3gn2Uz0A7+oN+w0TwwQJBgYE+vit8rRZoQWVDDIZuhAJB7P+AAUT+v4u9v0FEPUCCwjsCwcv4RTVjWD/mZIPmPgRwBcf9NyLASU+CBj3pwC03NyWD6f7tDWb/sIMEfG7EgsSDq8JvQSNDu8YCP8MzgUIDxCUCxHVCJ0SDg/7mhC8DwykjBCevwkNBA7ZCQ0JCQYPEuUPrtgyDgYKxQ0F3goXyhCBCBcPDgUSBRAPAQYLCLkGCguRD/ZHzN/TEhLACdxNPOcH8ccJ9N0OsxE/C/CB1acPngkk5i+vk8DKM/nj4uGvW/HvTSfV8PXOzODF41y75IfkwvbuuObk/7ur9evC39kzvdxc8NntxRzV59bVAMThJ+E2ztznHbu7x+7A1NPP2Djw39Dmf87j5ef/7uz2Haz71rfnI0GS3wScwp3p2v/p5fG839z5IOo/5Pbp77oxZMA91lec/zaIF/2/IQsIEw2kB1LN9A85jw79Dg8MShcK4wYQ5giZBxA/6o2OvAsL7+kTzdASDAkUCwwPEwwJDwbXBscglQsLEacOu/ATENIHCQsgCwv1BgwaEg8KDw2UFAceUw6KBRKZyeIKXgeGo/sGD6wmEM4NETMOEAq4EBiwF6YKC83h2c4LPf0iAfv1CPj7ueO9CKbe/JkE8tyECwOCAgvf/Bb7/JDF3pcfDgSYAw2vSvkC6QECBvwH/fMLA9QCvQCV+c8OMP6Q1QD6I/+y9v8H/g0E9P/3CP736d0K9fxF+Z8S1kw5+Aq4+SfTCjnt4boGBp738fu9/88ToigNoAWPPatNAg0VUgoPCwUJFQWs5xkMPUcPvRUTE+sRBqUGFbEEGQkJhMrSwhEQDHY4CNggDg4KDC8TCQsIAwUK/BFMNf4CqBHsD5KQCgXhCg8FBxAP9ggbBw4YBQYFoQwCA8MP/NrW6zK4CzcDuC7yExynBREyIAseAEIHPsPw8BA4CLk/U+gEyoFJ1Ofi1r5m2DksF9XLQc//69vO0MnnNefMptxR3dbeK5O589PrEFXOrdHa6M3Bwt/Y383kzuTM5+ctoNL6z8rL0qTK6EvlTdvczfQp1OTa2MfY0NG8zubDR9w6mGGUpgjH29u32wCm0tQn0cTM4/rhzPDSqqDQx9rVTCcIxc4Rt7nuCwwKE0oKFQHeCxyDDpQJowcKGQfGBhXEBskJCYrlKLO5EQrt5hPXWQsLCQ6KCA0SCAcMCR4IKx21CdUW9Qr43BATJgZGCQ4RCAoODQsNBQkGBiUWBh0ICgSlrQH1SA6BBq7Gh8IMpiMUqCUJ6w3NCqiegUwVFQ6+ICABFBFT/njj5NEIOtLQFwPy3ZDiytnx+KQR/Jvc9bfUSeTQ9ADo+2oA1QXQEoHDx93h7pDi3/fouwbZFdrKM7PayAa17juZ7eHD4r7P7gTZDe+gA+D33sjtFQ+9G0XWAAevI+MsAv7kpC0w2KKqyvlaDtGc7prfEff0jA0W6hbkWMIb/J/v/AP7/v3//B0KJgDelwCpArj+sP/8QPz7/QLmAAIGCcPc6/4AQi74Abz7Avz9BAP/AP0A/P7MATcBKf0jAsH/SUYBA/X70P31/gIBAQD+/wMAAP7z/AIF/vqq/gvaIwcBiwJVtZcO/mI0/eMKAcT86wIS5wBD+84BJvwvi5MNlwvxCAgHDsQGrebcB7cOC7UIF//lEQzzDQudBfENB920ka2qDw6WHxArQgoQAxGJCwwJBwUKCPMIWQPpBDIMQgsDLAwSBAwEBQgRCAINCAcFBwMJApcTAgfDBcvVt0+BzRGgBv8hKVAI/QoOgwAMwAsyBJiNyjMKHA7wQUb44QUtLAQDAgUJ6QYY+dgLKNYK1gLb+R4LDbIMBBUAmAgBSB+y9bUIAycHEP0+BQz5BZgCCgwIAAgJwAiq68oAywhECdwWCRDhB5cFEQUJ/ggBCAMBBAX/Iw4CCPcE5lUPKPPMB4QKJD3lz/u4Dgn6twQLAyAGBujoBQs6DCyngxWVDT71jQ8KERHVC7wC+QsU7w7rDrf/SgcIKAoNqAaKDgoGHJK3Dw4QGo8MEz4NCgENMQoNBAwGDgjTDdqBkAuuB7oOHesJFhII9AkVDA/0DgAWCv4ECQMOCwkFJAgXFvX0HB8LhAvT3JJjAR0OCPqlDO8QxAkxJNtNDYoJ6qXe0v4T/QQSEQcHE44KzgKjFkD9B88SLg32DQ+9EA/WCQkRDQvsQjMZFBeNNBEppgYVCg6BFBAMBAcRF/QTLcXkB0AQ5gkr2AsPjBMTBhMYEOsOFRAODQoJDNsMBgSbDacrn5OdLRKmDAbdXbgfK/YYjxINqxEuEDuMP7MS3AgW15+DBBCRTegJCgcRVQsx/ZkL384H9AwKAAUUCOAHCgcLMAkOiN/y/QARDYLdE/cSDA0HDrQJCQ0OBg4OHgdMGrcNLhMRDyS+DgPKD70JEQ8HCAkFDQsBCAYFsxQGFEwNU90rHtLBEgcKBqazVP2w8BAYngXnDIUD2yAC5BT5B+SBW8Hp4pw5+b25uNM+05UQwdz2wcXs4WqBYN3WtMzmK/2Xx8PCOM7hWeXgdevm68zM2sPXQAvByt/s49lN2yXpUdrB5dnV3QTJo1LPwOKbHO494tegxg72ydfr3+vElMTYoiOoMaTYFcgxBz0+o9oD9ubkuubBGcA0+1hl4PfJ/h66LsEZnazgCwQJDIEHJd4hCrUBEr8NqP66Fgw4DQ/TByEEBoaWNcw4Egx1xRkBxwYM/xW9DAwNCwMPC4IN8R7oB4ETnRL10Q4OwwwTBQ0NCwsTBQgIDAYGBMIZBAsSD5TVXMs4OhD8BQnMxFsDY8gNk4gG2gWeB5csDMYVQAo2P8LC4t2oHF6WmZbBKq6zWFC1Ikme4a7W3yjc7TmqtFbG36Kfuhw4EOSxq2Qj6fKTqqnKvDq3puvGuruxHbc/JMSzDrnQs5mvrKm4qCa9usK1JLav55jtyKXFNeq89tSY4FlBowDHvtewSpVIUrqRAs4KYJIzqP+ZGNEHDtzzqiAgCbsJ90vP9+HewuVE1Z/uHOUXY8ou35bG3fXEPb7cz/OexMmkxx0Sf/fX8xT16FTN0ezsK+25xfDs69JD1brtZ99p8iPTQx3X0cfDb+jQBN383qLKwcEEzu1e8efgmr6VRhv83xPpqcz9mo9omWO+2rfl1DnAmd4/JsVK9v7JECLkpxnkxcEb497r7EjsuMJp3HXR6bDbtNW/8OCG4uOd+YHf6if3+q8+49nK9uDeGevY2+/H2ufb9/Pk2qrcwRXM8NHrAu0HOurDw97u8s3g4DvexNbnA/fu6Prs8hFp5v/9jj8qRe753/rv3ayr4fTdvpjgOeIi5AbCGQTqIufCJ52Wl/3AvCn41rO6voRNsvkDxPbJlA4DrovfDZ3+CSSB0vK6GvnwCjgHDdWxBazXqw2EmPoR0vyGgfMI2AjpOpeJCPSR3+7ivd+W/k2B4hEUQPkl3N4/gZKB4vuBtPa+0RvWH8nR4j/r0/jexSWm0RqLMb/S7knt8uAGzPJT6xM4AF4oAWdICP37/wBZApP+Ff8esf3Z/04EjP//DgEFyf+t//1A7qYa//8Cfk/9Sab9/AP7yAQFAQD+Av37/LL7kADmAVL+HOkC/e4DAP78Bfz6+wH+/wL+AP9E/QIHNv9TsSGcZ5YCL/sFF4WM/AT1BRz/Bar8/f0JKM24A939lbgq3DTOIjYy5/f7AQEGrBkEuqUa9rKx1Qz6+bmGyL+0Cr3W/AAoJe00wKy9MLrfEAKyDgjNqvq+CgjKtS21tMKVCFHJ3fKx9/zo6MJoDOW4rjnAsvDqyggIEaPnBSDI9peO1rfAKO765wWjHBypqQi3l938uti68+iq6Tvqzd2CJqbwEwkSir0KDggH2QcDBCcN3N4GFAnmAiANCewIDNMFOg0GnO0fySgIC8M4DinHBRH+CQILBg0GBQgM0Amy2ZoG6AjoDh2uDgfDDicICg4O+xAGEQsGBAv/BwsFB+kN/4RZEonnDukJQLgQlgPnKAoHGAwqDtwL8Qk5SAYqDaczPQfR7vaxVtzc5wXl7NjTlOhEV+8H1+LM3gDk/t7u1AEp3+k88/0FL/HZLx/1GDPp3d3+Bdri5QXx79Yr1bkZ9/zi9eH1Leb0z87ek/XN69c46rnU4vj95+iP+/AhTeQdzRyJ68QATOCouGFlsWjo7v7s6JjkZeLy1kWr8rjq5NoDtdEFvqzlCBARCDQKKhYHEK8eCf0MoA6SDghGCwgUB5kNEOig6f0HCg+yFw2yNQwRCQYXDQoPBAsKDi0PN/cqCdoKYAuO4gwHkQy5ChYKCgAOCRIOBwgICeUKCBMsC8KHEbE65weaEN4L6eUJX7AQ+yAN6AfoCb3m2C8GxwwODusjLQGxNwP3//j4SP4YCTADTWMA8AJFBMwB/Bn6Bf8B6PwE8SpA9kED/JosALvd/QUDAsX+Af3+//3+6AKfA+gAJQD1AdXuAvREAJ/88vv7BwT9/vv9/wb+I/r9+Qb8Lf812AY4/PEAFyckGAK2QQUJKvzn/cz+OT0EAgAzAfq7RuRL/OEYQhcW69AM4pMOI872LhrawTQKIw3kKbDyNOBAwwin+6/vPfap9dr025wErO4B4tzb9+DtqqbeoMNhQd5eAcoa2+/sMS+sveA2qcjZo+EyB+Tf2OFLIuslXBHx3SULtd3+6sqyPR3qlcxC6lY+CdLE1hC8xijqCQjEoVeQ9ocTjZrgDgcGDQwIJ/G6EaTmDycKnvwXCxCODhCdBKcPCDX45IkODQonqBS3UAgL/wz2DA8LCgQID80P+AAFBYsT1BDH8wsTlQ1aCAcJCP0NBxUFBAQKBNISBgoOCYHrOEbySQo+DS2U0osGFNwSnsoMuw2IB6WMPZEKwgvSSBIULgnQqicIAAwGYwOz+S0R0PEQLA/eEqMTCsIBDP0HjwAMQAaw7/MTDsuSEJCBEBAIESgSAg4JBgYIHQovMSUDSRDeDpS8CQ8vB8cHEQ0SCgcTEAcTBQYGEhIFET0R175dl+D7EhoAxcilHRT/+xLoIgvb/T0D4UbW3g/u+xbwzVOP7QWQHvAA/gvb/aHGAeoeTwYz5dPhzfnrt/X4EvxB8AEZKPCW8fPq6AHrGcQB7t4PLeMD7gn39+j06QgG0gMF8zgK0eIH3cXr+frd7+g089Ds+A7//eML+fcVvQHZMD0F3y8AiPmqJuO2yZtB897H+BH5FPqX66G39g74TiLiGfr+4Fn6A/kCARQBSwjs//Lb+Sf/Wf9bAQDK/wQbAUMB/tgGLj8GAv+uKfoQbP3+/QNAAgL+Af8DAbn87AJv/ZwCWwUP2QD8xf6Y/vn9/f4CAPr+AgEDAcv+AAMh/sqxwN/HLwEOATGgkF0A3dX+qqX8NP4bAAXx3A8A+gI4FMq3GQo73OULDA8CUQjsAzYJ7KEDkgmDDPwEEsMJBR8EBgwMnN8u/r8DDpfiBOkMBwcGBtkJBw4EBgcOuA0d/+EI4wUjASCvAxbMCPoHGAMJ8QYCGgwGAwYCOgIG/pcNN43cofmgBgYNP7ezGQoRngZLwwudEL8HvwjxignRB9wa5x30EBX6zQ8MEQ74BUIGsgw8rQ2zDbYBpg4NAwgQCAiwChCx7fAyMBQN9gkNvjoIEQcU3QgKCg0HDgz6DioJsQ0lFAwPAMIRDpYLGQcWEA4IEAUJCwMGDgrwEAgM6AtU1KnUQ/AMZge2M9cA/678C6/SB58N1wfnI7E1Dd8SyShTuMGbJJUsA/y5xKvARiT6lOQjvdOJ3cMSvJrBq5H10kKut3zrsywhkY3cU40K0buLxrX4gsWWyM6WjgqO0AnPwVCbzcTLy8AQGp7czAOVjOKYge7Ku9W+zPTIzY5MvpfDSPS7zcNQs6HfgrGH4TSIQgzzKLawAxiqUPm77bUOLkYdlRBTGdMQDgYPWgXKCJoLwgwHIwwvAfYHDLwOC+QCCwwF1RYMjaQGDJ4qEeQLBAwECakLCAwMBggPgQym6KsK1w4/BxYaCwvVCPIFEwwI+wwICggCAwv/1QwD/wQF0Y/2g4SpBVALlAh/UAcTGRHE/wfoEB8J3bWNxAf9CPn2J/n30NS2KwYBC/gwCWDsL8Ee//4ssp8R4PDHAs64+we26QPzy+rTRb+3N7m830AKuxABwq8EzAMIyrYauc2/gQ4OyEHvFw/+/tbFPAoJuq8dv7AP/MMHDxQO6wkfFv/9Na0A4LDzOOkCm/3nrTbzs4TJB9jk+wMGvQpE7Ljsgdf74PIQAyHyDQcKDY4IkvcKEeIBCxsPTQGTDxBADhHQBgAJBzjU3+wpCgy+MAuvnQoJ/AysCQkRBwALCgcLpPLTBIoLzgvloQoO6Q0eAw0QDf8HAxMKAQQIADcQAQjQCOmsivznCgmkCDuzzI8IqOsRqgkEGwj0BgKK5RAPqQjiKdKW5gS3E8YRCw4KnAs3B4sGQL4KgwvbCbgHCAwMBaYIjAsQA76pLbIKCr0RCOgpCAsKDJgJDhAICgsPwQ8KxcQGiArjC9/kChm8DdIKFgYJ/g0LDBAGBgkG3AoKDN8JPBIDu/+IAhUP/fZ/CRMnNQzYuBGJETcLwjY1wgPcBxiWGuI+pBz57vXwzJnT2cUR4r/Ygby02e+99KHb696suNOg0dUf2AYnDp3byU2iFR7Uy86rMsXVy7/mq9Do2M71lc1bnLm3iwi85szRktXcj+MGr6zj1o7ZztXApOOULtYex2Q05kam4s5muu/RjDO/gemP6avUCe7gQchTqvzKOrc9sfIJsyb5DAUQCikJ2geLDUa3B8AJIwVkDA7TCg2CA6EKCzkAOb6/Cw4MKwgiTQYPCQeeDgsNBQQMDh4NLvGOC5sILwXCjAkIyg8uCAwOB/sNCxUGCQQICv8OCAmmB6+qVPvUSwekDfNO2A0RNBIKxj0Higj9CsiD54QEHwyLCsSSxMJNID2TmY+FrJot2ZyXNgKd+542vQ7LyCaKiwy19Yul4aQdE7+SlRAFw+tDpZCzlD2XjcmUvIySsZM2PROZZZrtmlQbjJX8iaqlpIyhVIuv1pUGtZC+Ss29EjSkNRG2UdrPjrmOAQ7o/ptN357PSprMhuqaEOsVFcI1iPbMgVKWyEfwXaCor7zzwy8mTqQRALCRojPPqtrXM6alC9X4p6j67MzB4KieEOnLle67mc/Mr5+tztbSqqCwpdIY9sr6seC0y8CzlCajrdGxoqY9oqTnpPDWudgp2tEZya6gwRdGivywO63l6edHokj/t0wKqOOrFJ6u6hI+1R2rAD73Ga/6P9cu6erm9BDvurcZ8gIz6RLkEdXQ/fU16fKw9ALo7qwfisLH8eQy7f0d7u7i3PGj6vDv9+r04ynnmx8s7rD2zvDrzvPppeq17u/q6CLs2PTuC/Pt5ez/6xMK7Ek2AoHEqvqM6pQTbFK+58Pu8bnnue5A7NqkAtgAuenV8TgI8AmN2sITEBASXwpN9L0IGAYM7AsM//QOBkUKD6wE1wkN6QI5zOoLDMwVEkFSBwsCETAMDQoLAxAPJw4d0SwIWA/uCUP0Dw3UD/cJGQ0L+QcEDg4KCAcGJQgHAoEMgkDMsivVEcMNJgk2JfzSoQ36Fg85Dh0S6q8ZIQocEOsvkf6ICicTmyYaGQ4eD2kEDhCwKRHoGagQFQwWIxgREAQIGRMk6NKnyg8WPJwNpIcUGgkHARQVEwUGChu0GS23uA8FEJ4K1fkUK+kdxAkpDRTaDgotHAQCEwTOCAj47BnyImKRJgwJTh22mbNiD4v4DuHQF5gaDhrGJ5KVBfIZvwDbCrPgMt8iBBYUGscWJvVh0kLAFCyxqhxfEcrj1sT1HO31E0QFP/ZGzLH4otHsABK2HhsTqRDcGxPYu/++u81VGkffHgtA0hYM89mkFxK8rSXRnh4KtB4XG6f9EEBCDjim+zEnSggl+QK3YEaf5da9nrEVNfWjCc6f94YDNv6aixDzJ9b/Qefl4tLEM91WGuTYujfPy9FnveLV2TTW0gXoyNXWPQpP39vM05bvzeJJ3M/OzFDO1tbV7dDTM9cQ/GzhkdIz0wbSz9kZ2LXmy87ZFMyw0tmB59ver8/p7FzaIyayD9dOy5vYXRmaJ6UWJ8CBqN6b00LjwcAF+syk1a3sxgAsCEG0CAsCBAXfBsvw5AcXNgmMCasPoA4G1QkLyAQCBgbaigOsygsJ8PEJ3acGCg8HrwkHBAMEAwukChMY1Qf/BTcOHcsJDukIDQgCCwb7ChULCAsGBQvSBwQMgQ02OE4BpYEIjwOG2A1WF/q/DvgiC+T++AHdqR9LCM//kkE=";

function decode() {
  const text = atob(data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const floats = new Float32Array(bytes.buffer, 0, shape.floats);
  return [floats, shape.small ? new Int8Array(bytes.buffer, 4 * shape.floats) : floats];
}

const [floats, ints] = decode();

export class Policy {
  constructor() {
    this.rows = new Float32Array(shape.stack * shape.row);
    this.played = new Int32Array(shape.last_actions * shape.branches.length);
    /** What the network said of the last row: a value for each action. */
    this.values = new Float32Array(shape.outputs);
    this.buffers = [new Float32Array(shape.buffer), new Float32Array(shape.buffer)];
    this.aside = shape.aside.map((size) => new Float32Array(size));
    this.reset();
  }

  /** Begin an episode. */
  reset() {
    this.begun = false;
    this.played.fill(-1);
  }

  /**
   * Choose the best legal action for a row. `observation`: its numbers in an array, or an object of
   * arrays by tensor name; `mask`: 1 = legal for each action of all branches. Returns a number, or
   * an array of one for each branch.
   */
  act(observation, mask = null) {
    this.evaluate(observation);
    const best = [];
    let at = 0;
    for (const width of shape.branches) {
      let first = -1;
      for (let i = 0; i < width; i++) {
        if (mask !== null && !mask[at + i]) continue;
        if (first < 0 || this.values[at + i] > this.values[at + first]) first = i;
      }
      best.push(Math.max(first, 0));
      at += width;
    }
    if (shape.last_actions) {
      this.played.copyWithin(0, best.length);
      this.tell(best);
    }
    return best.length === 1 ? best[0] : best;
  }

  /** Say what was played after the last row where that was another action. */
  tell(action) {
    if (shape.last_actions) {
      const all = typeof action === "number" ? [action] : action;
      this.played.set(all, this.played.length - all.length);
    }
  }

  /** Take in a row; return what the network says of it, valid until the next one. */
  evaluate(observation) {
    const row = flat(observation);
    if (row.length !== shape.row) {
      throw new RangeError(`observation: want ${shape.row} numbers, got ${row.length}`);
    }
    if (this.begun) this.rows.copyWithin(0, shape.row);
    for (let k = this.begun ? shape.stack - 1 : 0; k < shape.stack; k++) {
      this.rows.set(row, k * shape.row);
    }
    this.begun = true;
    this.assemble(this.buffers[0]);
    let now = 0;
    for (const step of program) {
      const x = this.buffers[now];
      const y = this.buffers[1 - now];
      if (!inPlace(step, x, this.aside)) {
        outOf[step.op](step, x, y);
        now = 1 - now;
      }
    }
    this.values.set(this.buffers[now].subarray(0, shape.outputs));
    return this.values;
  }

  assemble(x) {
    const channels = shape.row / shape.places;
    const n = shape.branches.length;
    let at = 0;
    for (let place = 0; place < shape.places; place++) {
      for (let k = 0; k < shape.stack; k++) {
        for (let i = 0; i < channels; i++) x[at++] = this.rows[k * shape.row + place * channels + i];
      }
      for (let k = 0; k < shape.last_actions; k++) {
        for (let b = 0; b < n; b++) {
          for (let i = 0; i < shape.branches[b]; i++) x[at++] = this.played[k * n + b] === i ? 1 : 0;
        }
      }
    }
  }
}

function flat(observation) {
  if (typeof observation.length === "number") return observation;
  const row = new Float32Array(shape.row);
  for (const tensor of shape.tensors) {
    const values = observation[tensor.name];
    if (values === undefined || (values.length ?? 1) !== tensor.size) {
      const got = values === undefined ? "none" : (values.length ?? 1);
      throw new RangeError(`observation.${tensor.name}: want ${tensor.size} numbers, got ${got}`);
    }
    row.set(values.length === undefined ? [values] : values, tensor.at);
  }
  return row;
}

const curves = {
  relu: (v) => (v > 0 ? v : 0),
  leaky_relu: (v, slope) => (v > 0 ? v : slope * v),
  sigmoid: (v) => 0.5 + 0.5 * Math.tanh(0.5 * v),
  tanh: (v) => Math.tanh(v),
  softplus: (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v))),
  gelu: (v) => 0.5 * v * (1 + Math.tanh(0.7978845608028654 * (v + 0.044715 * v * v * v))),
  exp: (v) => Math.exp(Math.min(Math.max(v, -10), 10)),
};

function inPlace(step, x, aside) {
  const n = step.n;
  switch (step.op) {
    case "act": {
      const curve = curves[step.act];
      for (let i = 0; i < step.out; i++) x[i] = curve(x[i], step.slope);
      return true;
    }
    case "rescale":
      for (let i = 0; i < step.out; i++) {
        const j = i % n;
        const v = (x[i] - floats[step.shift + j]) * floats[step.scale + j] + floats[step.bias + j];
        x[i] = step.limit < 0 ? v : Math.min(Math.max(v, -step.limit), step.limit);
      }
      return true;
    case "norm":
      for (let at = 0; at < step.out; at += n) standardize(x.subarray(at, at + n), step);
      return true;
    case "keep":
      aside[step.at].set(x.subarray(0, step.out));
      return true;
    case "plus":
      for (let i = 0; i < step.out; i++) x[i] += aside[step.at][i];
      return true;
  }
  return false;
}

function standardize(x, step) {
  const n = x.length;
  let mean = 0;
  let variance = 0;
  for (let i = 0; i < n; i++) mean += x[i];
  mean /= n;
  for (let i = 0; i < n; i++) variance += (x[i] - mean) ** 2;
  const scale = 1 / Math.sqrt(variance / n + step.eps);
  for (let i = 0; i < n; i++) {
    x[i] = (x[i] - mean) * scale * floats[step.gain + i] + floats[step.bias + i];
  }
}

function addRows(step, x, from, count, width, w, y, to) {
  const weights = step.scale < 0 ? floats : ints;
  for (let i = 0; i < count; i++) {
    const v = x[from + i];
    if (v === 0) continue;
    const row = w + i * width;
    for (let j = 0; j < width; j++) y[to + j] += v * weights[row + j];
  }
}

function finish(step, width, y, to) {
  if (step.scale >= 0) for (let j = 0; j < width; j++) y[to + j] *= floats[step.scale + j];
  if (step.b >= 0) for (let j = 0; j < width; j++) y[to + j] += floats[step.b + j];
}

// Calls visit(from, tap) for every place under the window at (i, j) that is not padding.
function under(step, i, j, visit) {
  const [rows, columns] = step.kernel;
  for (let u = 0; u < rows; u++) {
    for (let v = 0; v < columns; v++) {
      const down = i * step.stride[0] - step.padding[0] + u;
      const across = j * step.stride[1] - step.padding[1] + v;
      if (down < 0 || across < 0 || down >= step.height || across >= step.width) continue;
      visit((down * step.width + across) * step.depth, u * columns + v);
    }
  }
}

function pool(step, x, y, largest) {
  let to = 0;
  for (let i = 0; i < step.out_height; i++) {
    for (let j = 0; j < step.out_width; j++, to += step.depth) {
      let seen = 0;
      y.fill(0, to, to + step.depth);
      under(step, i, j, (from) => {
        for (let c = 0; c < step.depth; c++) {
          if (!largest) y[to + c] += x[from + c];
          else if (seen === 0 || x[from + c] > y[to + c]) y[to + c] = x[from + c];
        }
        seen++;
      });
      if (!largest) for (let c = 0; c < step.depth; c++) y[to + c] /= seen;
    }
  }
}

const outOf = {
  dense(step, x, y) {
    y.fill(0, 0, step.out);
    addRows(step, x, 0, step.in, step.out, step.w, y, 0);
    finish(step, step.out, y, 0);
  },
  lookup(step, x, y) {
    y.fill(0, 0, step.out);
    for (let i = 0; i < step.in; i++) {
      if (x[i] >= 0) addRows(step, [1], 0, 1, step.out, step.w + x[i] * step.out, y, 0);
    }
    finish(step, step.out, y, 0);
  },
  conv(step, x, y) {
    let to = 0;
    y.fill(0, 0, step.out);
    for (let i = 0; i < step.out_height; i++) {
      for (let j = 0; j < step.out_width; j++, to += step.channels) {
        under(step, i, j, (from, tap) => {
          const w = step.w + tap * step.depth * step.channels;
          addRows(step, x, from, step.depth, step.channels, w, y, to);
        });
        finish(step, step.channels, y, to);
      }
    }
  },
  max_pool: (step, x, y) => pool(step, x, y, true),
  avg_pool: (step, x, y) => pool(step, x, y, false),
  merge(step, x, y) {
    let from = 0;
    let to = 0;
    for (let z = 0; z < step.atoms; z++) {
      const value = x[from++];
      for (const width of step.branches) {
        let mean = 0;
        for (let i = 0; i < width; i++) mean += x[from + i];
        mean /= width;
        for (let i = 0; i < width; i++) y[to++] = x[from++] - mean + value;
      }
    }
  },
  expect(step, x, y) {
    const actions = step.out;
    for (let a = 0; a < actions; a++) {
      let most = x[a];
      let total = 0;
      let sum = 0;
      for (let z = 1; z < step.atoms; z++) most = Math.max(most, x[z * actions + a]);
      for (let z = 0; z < step.atoms; z++) {
        const v = x[z * actions + a];
        const share = step.returns < 0 ? 1 : Math.exp(v - most);
        total += share;
        sum += share * (step.returns < 0 ? v : floats[step.returns + z]);
      }
      y[a] = sum / total;
    }
  },
};
