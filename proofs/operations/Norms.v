(** * Certified operator norms

    [norm_at_most m n A s]: |A x| <= s |x| in the Euclidean norm, for the [m] x [n] matrix [A].

    - [norm_gram]: it is enough to bound A^T A by s^2;
    - [norm_cholesky]: [c I - A^T A = L L^T + E] with rows and columns of |E| at most [rho], and
      [c + rho <= s^2] (rule norm.gram);
    - [norm_schur]: [s^2] at least the largest absolute row sum times the largest column sum;
    - [norm_frobenius], [norm_add]: what the core's grid leaves out;
    - [norm_change]: a change of the argument; [norm_pair]: sqrt 2 for a difference of two members.

    Rests on nothing but real arithmetic. Stands behind the method `norms` of lastbit, and
    [contracts] of together.py. *)

From Coq Require Import Reals Lra Lia Psatz List.
From Lastbit Require Import Totals.
Open Scope R_scope.

Definition vector := nat -> R.
Definition matrix := nat -> nat -> R.

Definition dot (n : nat) (x y : vector) : R := over n (fun i => x i * y i).
Definition square (n : nat) (x : vector) : R := dot n x x.
Definition apply_to (n : nat) (A : matrix) (x : vector) : vector := fun i => dot n (A i) x.
Definition gram (m : nat) (A : matrix) : matrix := fun j k => over m (fun i => A i j * A i k).

Definition norm_at_most (m n : nat) (A : matrix) (s : R) : Prop :=
  0 <= s /\ forall x, square m (apply_to n A x) <= s ^ 2 * square n x.

Lemma square_pos n x : 0 <= square n x.
Proof. apply over_pos. intros. nra. Qed.

Lemma over_const_l n a f : over n (fun i => f i * a) = over n f * a.
Proof. rewrite (Rmult_comm _ a), <- over_scale. apply over_ext. intros; ring. Qed.

(** Cauchy and Schwarz. *)
Lemma cauchy n x y : (dot n x y) ^ 2 <= square n x * square n y.
Proof.
  unfold square, dot. induction n as [|n IH]; [unfold over; simpl; lra|]. rewrite !over_S.
  set (s := over n (fun i => x i * y i)) in *.
  assert (HF := square_pos n x). assert (HG := square_pos n y). unfold square, dot in HF, HG.
  set (F := over n (fun i => x i * x i)) in *. set (G := over n (fun i => y i * y i)) in *.
  set (a := x n). set (b := y n).
  assert (K : 2 * (s * a * b) <= F * b ^ 2 + G * a ^ 2).
  { apply Rle_trans with (1 := Rle_abs _). apply Rsqr_incr_0_var; [|nra]. rewrite <- Rsqr_abs.
    unfold Rsqr.
    assert (s ^ 2 * (a * b) ^ 2 <= F * G * (a * b) ^ 2)
      by (apply Rmult_le_compat_r; [apply pow2_ge_0|exact IH]).
    assert (0 <= (F * b ^ 2 - G * a ^ 2) ^ 2) by apply pow2_ge_0. nra. }
  nra.
Qed.

Theorem norm_frobenius m n A F : 0 <= F -> over m (fun i => square n (A i)) <= F ^ 2 ->
  norm_at_most m n A F.
Proof.
  intros HF H. split; [exact HF|]. intros x.
  apply Rle_trans with (over m (fun i => square n (A i)) * square n x).
  - rewrite <- over_const_l. apply over_le. intros i _. unfold apply_to.
    generalize (cauchy n (A i) x). simpl. lra.
  - apply Rmult_le_compat_r; [apply square_pos|exact H].
Qed.

(** ** By the Gram matrix *)

Lemma gram_form m n A x : square m (apply_to n A x) = dot n x (apply_to n (gram m A) x).
Proof.
  unfold square, dot, apply_to, gram, dot.
  transitivity (over m (fun i => over n (fun j => over n (fun k => x j * (A i j * A i k * x k))))).
  - apply over_ext. intros i _. rewrite <- over_const_l. apply over_ext. intros j _.
    rewrite <- over_scale. apply over_ext. intros; ring.
  - rewrite over_swap. apply over_ext. intros j _. rewrite over_swap, <- over_scale. apply over_ext.
    intros k _. rewrite over_scale. f_equal. rewrite <- over_const_l. reflexivity.
Qed.

Theorem norm_gram m n A s : norm_at_most n n (gram m A) (s ^ 2) -> 0 <= s -> norm_at_most m n A s.
Proof.
  intros [_ H] Hs. split; [exact Hs|]. intros x. rewrite gram_form.
  assert (C := cauchy n x (apply_to n (gram m A) x)). specialize (H x). set (q := dot n x _) in *.
  assert (HX := square_pos n x). set (X := square n x) in *.
  set (Y := square n (apply_to n (gram m A) x)) in *. apply Rsqr_incr_0_var; [|nra]. unfold Rsqr.
  assert (X * Y <= X * ((s ^ 2) ^ 2 * X)) by (apply Rmult_le_compat_l; lra). nra.
Qed.

(** A matrix whose absolute rows and columns are at most [rho] changes a quadratic form by at most
    [rho |x|^2]. *)
Lemma residual n (E : matrix) rho x :
  (forall i, (i < n)%nat -> over n (fun j => Rabs (E i j)) <= rho) ->
  (forall j, (j < n)%nat -> over n (fun i => Rabs (E i j)) <= rho) ->
  Rabs (dot n x (apply_to n E x)) <= rho * square n x.
Proof.
  intros HR HC. unfold dot, apply_to, dot.
  apply Rle_trans with (over n (fun i => over n (fun j =>
    / 2 * (x i * x i) * Rabs (E i j) + / 2 * (x j * x j) * Rabs (E i j)))).
  - apply Rle_trans with (1 := over_abs _ _). apply over_le. intros i _. rewrite <- over_scale.
    apply Rle_trans with (1 := over_abs _ _). apply over_le. intros j _. rewrite !Rabs_mult.
    assert (He := Rabs_pos (E i j)). set (e := Rabs (E i j)) in *.
    assert (Q : forall t, t * t = Rabs t * Rabs t)
      by (intros; rewrite <- Rabs_mult; symmetry; apply Rabs_pos_eq; nra).
    rewrite (Q (x i)), (Q (x j)).
    assert (0 <= e * (Rabs (x i) - Rabs (x j)) ^ 2)
      by (apply Rmult_le_pos; [exact He|apply pow2_ge_0]). nra.
  - assert (H1 : over n (fun i => over n (fun j => / 2 * (x i * x i) * Rabs (E i j))) <=
      / 2 * rho * square n x).
    { unfold square, dot. rewrite <- over_scale. apply over_le. intros i Hi. rewrite over_scale.
      specialize (HR i Hi). nra. }
    assert (H2 : over n (fun i => over n (fun j => / 2 * (x j * x j) * Rabs (E i j))) <=
      / 2 * rho * square n x).
    { rewrite over_swap. unfold square, dot. rewrite <- over_scale. apply over_le. intros j Hj.
      rewrite over_scale. specialize (HC j Hj). nra. }
    rewrite (over_ext n _ (fun i => over n (fun j => / 2 * (x i * x i) * Rabs (E i j)) +
                                    over n (fun j => / 2 * (x j * x j) * Rabs (E i j))))
                                    by (intros; apply over_plus).
    rewrite over_plus. lra.
Qed.

(* map: a Cholesky factor with a small rest bounds a spectral norm *)
Theorem norm_cholesky m n k (A L E : matrix) c rho s : 0 <= s -> c + rho <= s ^ 2 ->
  (forall i j, (i < n)%nat -> (j < n)%nat ->
    gram m A i j = (if (i =? j)%nat then c else 0) - gram k L i j - E i j) ->
  (forall i, (i < n)%nat -> over n (fun j => Rabs (E i j)) <= rho) ->
  (forall j, (j < n)%nat -> over n (fun i => Rabs (E i j)) <= rho) -> norm_at_most m n A s.
Proof.
  intros Hs Hc HG HR HC. split; [exact Hs|]. intros x. rewrite gram_form.
  assert (Q : dot n x (apply_to n (gram m A) x) = c * square n x - square k (apply_to n L x) - dot n
    x (apply_to n E x)).
  { rewrite (gram_form k n L x). unfold square, dot.
    transitivity (over n (fun i => c * (x i * x i) + - 1 * (x i * apply_to n (gram k L) x i) +
      - 1 * (x i * apply_to n E x i)));
      [|rewrite !over_plus, !over_scale; ring].
    apply over_ext. intros i Hi. unfold apply_to, dot.
    transitivity (x i * over n (fun j => (if (i =? j)%nat then c else 0) * x j +
      - 1 * (gram k L i j * x j) + - 1 * (E i j * x j))).
    - f_equal. apply over_ext. intros j Hj. rewrite HG by assumption. ring.
    - rewrite !over_plus, !over_scale.
      rewrite (over_one n i); [rewrite Nat.eqb_refl; ring|exact Hi|]. intros j _ N.
      destruct (Nat.eqb_spec i j); [congruence|ring]. }
  rewrite Q. generalize (residual n E rho x HR HC) (square_pos k (apply_to n L x)) (square_pos n x).
  unfold Rabs. destruct Rcase_abs; intros; nra.
Qed.

(** ** By absolute row and column sums *)

Theorem norm_schur m n A row col s : 0 <= s -> 0 <= row -> row * col <= s ^ 2 ->
  (forall i, (i < m)%nat -> over n (fun j => Rabs (A i j)) <= row) ->
  (forall j, (j < n)%nat -> over m (fun i => Rabs (A i j)) <= col) -> norm_at_most m n A s.
Proof.
  intros Hs Hrow Hrc HR HC. split; [exact Hs|]. intros x.
  apply Rle_trans with (row * col * square n x);
    [|apply Rmult_le_compat_r; [apply square_pos|exact Hrc]].
  (* Cauchy with the weights |A i j| in each row *)
  assert (Row : forall i, (i < m)%nat ->
    (apply_to n A x i) ^ 2 <= row * over n (fun j => Rabs (A i j) * (x j * x j))).
  { intros i Hi. unfold apply_to, dot.
    assert (C :=
      cauchy n (fun j => sqrt (Rabs (A i j))) (fun j => sqrt (Rabs (A i j)) * Rabs (x j))).
    unfold square, dot in C.
    rewrite (over_ext n (fun j => sqrt (Rabs (A i j)) * (sqrt (Rabs (A i j)) * Rabs (x j)))
      (fun j => Rabs (A i j) * Rabs (x j))) in C
      by (intros j _; rewrite <- Rmult_assoc, sqrt_sqrt by apply Rabs_pos; reflexivity).
    rewrite (over_ext n (fun j => sqrt (Rabs (A i j)) * sqrt (Rabs (A i j))) (fun j =>
      Rabs (A i j))) in C
      by (intros j _; apply sqrt_sqrt, Rabs_pos).
    rewrite (over_ext n (fun j =>
      sqrt (Rabs (A i j)) * Rabs (x j) * (sqrt (Rabs (A i j)) * Rabs (x j))) (fun j =>
      Rabs (A i j) * (x j * x j))) in C.
    - assert (T : Rabs (over n (fun j => A i j * x j)) <=
        over n (fun j => Rabs (A i j) * Rabs (x j))).
      { apply Rle_trans with (1 := over_abs _ _). apply over_le. intros. rewrite Rabs_mult. lra. }
      assert (P := Rabs_pos (over n (fun j => A i j * x j))).
      rewrite <- (pow2_abs (over n (fun j => A i j * x j))).
      apply Rle_trans with ((over n (fun j => Rabs (A i j) * Rabs (x j))) ^ 2);
        [apply pow_incr; lra|].
      apply Rle_trans with (1 := C). apply Rmult_le_compat_r; [|now apply HR].
      apply over_pos. intros. apply Rmult_le_pos; [apply Rabs_pos|nra].
    - intros j _.
      replace (sqrt (Rabs (A i j)) * Rabs (x j) * (sqrt (Rabs (A i j)) * Rabs (x j))) with
        (sqrt (Rabs (A i j)) * sqrt (Rabs (A i j)) * (Rabs (x j) * Rabs (x j))) by ring.
      rewrite sqrt_sqrt by apply Rabs_pos. f_equal. rewrite <- Rabs_mult. apply Rabs_pos_eq. nra. }
  unfold square, dot.
  apply Rle_trans with (over m (fun i => row * over n (fun j => Rabs (A i j) * (x j * x j)))).
  - apply over_le. intros i Hi. specialize (Row i Hi). simpl in Row. lra.
  - rewrite over_scale, Rmult_assoc. apply Rmult_le_compat_l; [exact Hrow|].
    rewrite over_swap, <- over_scale. apply over_le. intros j Hj. rewrite over_const_l.
    apply Rmult_le_compat_r; [nra|now apply HC].
Qed.

(** ** Sums, changes, differences of two members *)

Theorem norm_add m n A B E b e : norm_at_most m n B b -> norm_at_most m n E e ->
  (forall i j, (i < m)%nat -> (j < n)%nat -> A i j = B i j + E i j) -> norm_at_most m n A (b + e).
Proof.
  intros [Hb HB] [He HE] HA. split; [lra|]. intros x. specialize (HB x). specialize (HE x).
  assert (EQ : square m (apply_to n A x) = square m (apply_to n B x) +
      2 * dot m (apply_to n B x) (apply_to n E x) + square m (apply_to n E x)).
  { unfold square, dot. rewrite <- over_scale, <- !over_plus. apply over_ext. intros i Hi.
    replace (apply_to n A x i) with (apply_to n B x i + apply_to n E x i); [ring|].
    unfold apply_to, dot. rewrite <- over_plus. apply over_ext. intros j Hj.
    rewrite HA by assumption. ring. }
  rewrite EQ. assert (C := cauchy m (apply_to n B x) (apply_to n E x)).
  assert (HX := square_pos n x). assert (HP := square_pos m (apply_to n B x)).
  assert (HQ := square_pos m (apply_to n E x)). set (X := square n x) in *.
  set (P := square m (apply_to n B x)) in *. set (Q := square m (apply_to n E x)) in *.
  set (c := dot m _ _) in *.
  assert (K0 : 0 <= b * e * X) by (apply Rmult_le_pos; [apply Rmult_le_pos|]; lra).
  assert (c <= b * e * X).
  { apply Rsqr_incr_0_var; [|exact K0]. unfold Rsqr.
    assert (P * Q <= (b ^ 2 * X) * (e ^ 2 * X)) by (apply Rmult_le_compat; lra). nra. }
  nra.
Qed.

Theorem norm_change m n A s x y : norm_at_most m n A s ->
  square m (fun i => apply_to n A x i - apply_to n A y i) <= s ^ 2 * square n (fun j => x j - y j).
Proof.
  intros [_ H]. specialize (H (fun j => x j - y j)).
  replace (square m (fun i => apply_to n A x i - apply_to n A y i))
    with (square m (apply_to n A (fun j => x j - y j))); [exact H|].
  unfold square, dot. apply over_ext. intros i _.
  replace (apply_to n A (fun j => x j - y j) i) with (apply_to n A x i - apply_to n A y i);
    [reflexivity|].
  unfold apply_to, dot.
  transitivity (over n (fun j => A i j * x j) + - 1 * over n (fun j => A i j * y j)); [ring|].
  rewrite <- over_scale, <- over_plus. apply over_ext. intros; ring.
Qed.

Theorem norm_pair n x c j s : (c < n)%nat -> (j < n)%nat -> c <> j -> 0 <= s ->
  square n x <= s ^ 2 ->
  Rabs (x c - x j) <= sqrt 2 * s.
Proof.
  intros Hc Hj N Hs H.
  assert (K : x c * x c + x j * x j <= square n x).
  { unfold square, dot.
    assert (S : forall k, (c < k)%nat -> (j < k)%nat ->
      x c * x c + x j * x j <= over k (fun i => x i * x i)).
    { induction k as [|k IH]; intros Ck Jk; [lia|]. rewrite over_S.
      assert (P : forall i, (i < k)%nat -> 0 <= x i * x i) by (intros; nra).
      destruct (Nat.eq_dec c k) as [->|C1]; [|destruct (Nat.eq_dec j k) as [->|J1]].
      - generalize (over_member k (fun i => x i * x i) j ltac:(lia) P). lra.
      - generalize (over_member k (fun i => x i * x i) c ltac:(lia) P). lra.
      - generalize (IH ltac:(lia) ltac:(lia)). nra. }
    now apply S. }
  assert (E : sqrt 2 * s = sqrt (2 * Rsqr s)).
  { rewrite sqrt_mult; [now rewrite sqrt_Rsqr|lra|apply Rle_0_sqr]. }
  rewrite E, <- (sqrt_Rsqr_abs (x c - x j)).
  apply sqrt_le_1; [apply Rle_0_sqr|apply Rmult_le_pos; [lra|apply Rle_0_sqr]|].
  unfold Rsqr. generalize (pow2_ge_0 (x c + x j)). lra.
Qed.
