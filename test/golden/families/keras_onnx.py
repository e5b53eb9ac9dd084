"""The graph of models.Keras as tf2onnx writes Keras networks: [N, H, W, C], a Transpose on each side of what wants
channels first, weights folded to ONNX's layout, names with TensorFlow's scopes. Encoded by hand: an ONNX file is a
protocol buffer, and Debian has no Python package for it."""

def varint(value):
    value &= (1 << 64) - 1
    out = b""
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    """One field: an integer, or anything with a length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def attribute(name, value):
    if isinstance(value, int):
        return field(1, name) + field(3, value) + field(20, 2)
    if isinstance(value, str):
        return field(1, name) + field(4, value) + field(20, 3)
    return field(1, name) + b"".join(field(8, item) for item in value) + field(20, 7)


def node(op, name, inputs, output, **attributes):
    message = b"".join(field(1, one) for one in inputs) + field(2, output) + field(3, name) + field(4, op)
    return field(1, message + b"".join(field(5, attribute(*item)) for item in attributes.items()))


def tensor(name, array):
    dims = b"".join(field(1, size) for size in array.shape)
    return field(5, dims + field(2, 1) + field(8, name) + field(9, array.astype("<f4").tobytes()))


def value_info(number, name, dims):
    shape = b"".join(field(1, field(2, dim) if isinstance(dim, str) else field(1, dim)) for dim in dims)
    return field(number, field(1, name) + field(2, field(1, field(1, 1) + field(2, shape))))


def keras_onnx(model, size, opset):
    weights = {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}
    body, initializers = b"", b""
    scope = "StatefulPartitionedCall/model/"

    def add(op, name, inputs, **attributes):
        nonlocal body
        body += node(op, scope + name, inputs, f"{scope}{name}:0", **attributes)
        return f"{scope}{name}:0"

    def weight(name, array):
        nonlocal initializers
        initializers += tensor(scope + name, array)
        return scope + name

    def conv(layer, x, activation, **attributes):
        x = add("Transpose", f"{layer}/Conv2D__1", [x], perm=[0, 3, 1, 2])
        x = add("Conv", f"{layer}/Conv2D", [x, weight(f"{layer}/kernel", weights[f"{layer}.weight"])], **attributes)
        x = add("Transpose", f"{layer}/Conv2D__2", [x], perm=[0, 2, 3, 1])
        x = add("Add", f"{layer}/BiasAdd", [x, weight(f"{layer}/bias", weights[f"{layer}.bias"])])
        return add("Relu", f"{layer}/Relu", [x]) if activation else x

    x = conv("conv1", "input_1", True, strides=[2, 2], auto_pad="SAME_UPPER")
    x = conv("conv2", x, False, group=8, pads=[1, 1, 1, 1])
    x = conv("conv3", x, True)
    x = conv("conv4", x, True, strides=[2, 2], pads=[1, 1, 1, 1])
    x = add("ReduceMean", "global_average_pooling2d/Mean", [x], axes=[1, 2], keepdims=0)
    x = add("MatMul", "dense/MatMul", [x, weight("dense/kernel", weights["dense.weight"].T)])
    x = add("Add", "dense/BiasAdd", [x, weight("dense/bias", weights["dense.bias"])])
    body += node("Softmax", f"{scope}dense/Softmax", [x], "dense")
    classes = weights["dense.bias"].shape[0]
    graph = body + field(2, "tf2onnx") + initializers
    graph += value_info(11, "input_1", ["N", size, size, 3]) + value_info(12, "dense", ["N", classes])
    return field(1, 7) + field(2, "tf2onnx") + field(7, graph) + field(8, field(1, "") + field(2, opset))
