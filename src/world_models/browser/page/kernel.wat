;; The one product that V and M consist of, with four numbers to an instruction.
;;
;; out (rows, 8·panels) = x (rows, depth) · w (depth, 8·panels), float32, addresses in bytes.
;; x and out lie row by row. w lies in panels of eight columns, (panels, depth, 8), so that it is
;; read once from front to back. `product` in dream.js computes the same without this file.
;;
;; kernel.wasm is this text as WebAssembly: `wat2wasm` of WABT or of the package wasmtime makes it.
(module
  (memory (export "memory") 1)

  (func (export "product")
    (param $x i32) (param $rows i32) (param $depth i32)
    (param $w i32) (param $panels i32) (param $out i32)
    (local $stride i32) (local $line i32) (local $panel i32) (local $w_end i32)
    (local $row i32) (local $x0 i32) (local $x1 i32) (local $x2 i32) (local $x3 i32)
    (local $o i32) (local $p i32) (local $left v128) (local $right v128) (local $s v128)
    (local $a0 v128) (local $b0 v128) (local $a1 v128) (local $b1 v128)
    (local $a2 v128) (local $b2 v128) (local $a3 v128) (local $b3 v128)
    (local.set $stride (i32.shl (local.get $depth) (i32.const 2))) ;; bytes of a row of x
    (local.set $line (i32.shl (local.get $panels) (i32.const 5)))  ;; bytes of a row of out
    (block $done
      (loop $each_panel
        (br_if $done (i32.ge_u (local.get $panel) (local.get $panels)))
        (local.set $w_end
          (i32.add (local.get $w) (i32.shl (local.get $depth) (i32.const 5))))
        (local.set $o (i32.add (local.get $out) (i32.shl (local.get $panel) (i32.const 5))))
        (local.set $x0 (local.get $x))
        (local.set $row (i32.const 0))

        ;; Four rows at a time: each pair of weights that is read serves four times.
        (block $fours_done
          (loop $fours
            (br_if $fours_done
              (i32.gt_u (i32.add (local.get $row) (i32.const 4)) (local.get $rows)))
            (local.set $x1 (i32.add (local.get $x0) (local.get $stride)))
            (local.set $x2 (i32.add (local.get $x1) (local.get $stride)))
            (local.set $x3 (i32.add (local.get $x2) (local.get $stride)))
            (local.set $a0 (v128.const f32x4 0 0 0 0))
            (local.set $b0 (v128.const f32x4 0 0 0 0))
            (local.set $a1 (v128.const f32x4 0 0 0 0))
            (local.set $b1 (v128.const f32x4 0 0 0 0))
            (local.set $a2 (v128.const f32x4 0 0 0 0))
            (local.set $b2 (v128.const f32x4 0 0 0 0))
            (local.set $a3 (v128.const f32x4 0 0 0 0))
            (local.set $b3 (v128.const f32x4 0 0 0 0))
            (local.set $p (local.get $w))
            (loop $k
              (local.set $left (v128.load (local.get $p)))
              (local.set $right (v128.load offset=16 (local.get $p)))
              (local.set $s (v128.load32_splat (local.get $x0)))
              (local.set $a0
                (f32x4.add (local.get $a0) (f32x4.mul (local.get $left) (local.get $s))))
              (local.set $b0
                (f32x4.add (local.get $b0) (f32x4.mul (local.get $right) (local.get $s))))
              (local.set $s (v128.load32_splat (local.get $x1)))
              (local.set $a1
                (f32x4.add (local.get $a1) (f32x4.mul (local.get $left) (local.get $s))))
              (local.set $b1
                (f32x4.add (local.get $b1) (f32x4.mul (local.get $right) (local.get $s))))
              (local.set $s (v128.load32_splat (local.get $x2)))
              (local.set $a2
                (f32x4.add (local.get $a2) (f32x4.mul (local.get $left) (local.get $s))))
              (local.set $b2
                (f32x4.add (local.get $b2) (f32x4.mul (local.get $right) (local.get $s))))
              (local.set $s (v128.load32_splat (local.get $x3)))
              (local.set $a3
                (f32x4.add (local.get $a3) (f32x4.mul (local.get $left) (local.get $s))))
              (local.set $b3
                (f32x4.add (local.get $b3) (f32x4.mul (local.get $right) (local.get $s))))
              (local.set $x0 (i32.add (local.get $x0) (i32.const 4)))
              (local.set $x1 (i32.add (local.get $x1) (i32.const 4)))
              (local.set $x2 (i32.add (local.get $x2) (i32.const 4)))
              (local.set $x3 (i32.add (local.get $x3) (i32.const 4)))
              (local.set $p (i32.add (local.get $p) (i32.const 32)))
              (br_if $k (i32.lt_u (local.get $p) (local.get $w_end))))
            (v128.store (local.get $o) (local.get $a0))
            (v128.store offset=16 (local.get $o) (local.get $b0))
            (local.set $o (i32.add (local.get $o) (local.get $line)))
            (v128.store (local.get $o) (local.get $a1))
            (v128.store offset=16 (local.get $o) (local.get $b1))
            (local.set $o (i32.add (local.get $o) (local.get $line)))
            (v128.store (local.get $o) (local.get $a2))
            (v128.store offset=16 (local.get $o) (local.get $b2))
            (local.set $o (i32.add (local.get $o) (local.get $line)))
            (v128.store (local.get $o) (local.get $a3))
            (v128.store offset=16 (local.get $o) (local.get $b3))
            (local.set $o (i32.add (local.get $o) (local.get $line)))
            (local.set $x0 (local.get $x3)) ;; it has moved on to the next row
            (local.set $row (i32.add (local.get $row) (i32.const 4)))
            (br $fours)))

        ;; The rows that are left, one by one.
        (block $ones_done
          (loop $ones
            (br_if $ones_done (i32.ge_u (local.get $row) (local.get $rows)))
            (local.set $a0 (v128.const f32x4 0 0 0 0))
            (local.set $b0 (v128.const f32x4 0 0 0 0))
            (local.set $p (local.get $w))
            (loop $k
              (local.set $s (v128.load32_splat (local.get $x0)))
              (local.set $a0
                (f32x4.add
                  (local.get $a0) (f32x4.mul (v128.load (local.get $p)) (local.get $s))))
              (local.set $b0
                (f32x4.add
                  (local.get $b0) (f32x4.mul (v128.load offset=16 (local.get $p)) (local.get $s))))
              (local.set $x0 (i32.add (local.get $x0) (i32.const 4)))
              (local.set $p (i32.add (local.get $p) (i32.const 32)))
              (br_if $k (i32.lt_u (local.get $p) (local.get $w_end))))
            (v128.store (local.get $o) (local.get $a0))
            (v128.store offset=16 (local.get $o) (local.get $b0))
            (local.set $o (i32.add (local.get $o) (local.get $line)))
            (local.set $row (i32.add (local.get $row) (i32.const 1)))
            (br $ones)))

        (local.set $w (local.get $w_end))
        (local.set $panel (i32.add (local.get $panel) (i32.const 1)))
        (br $each_panel)))))
